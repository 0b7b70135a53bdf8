"""What travels: messages, frames, user payloads. Pure: no clock, no socket, no
thread."""
