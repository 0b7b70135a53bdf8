"""What a user configures for all clusters of a profile: `steer_config.py`.

    c.Cluster.engines = "local"
    c.Hub.ip = "0.0.0.0"

The file lies in the profile's folder and is read as all of IPython's are. Most profiles
have none; then nothing is imported for it. An argument in a call or on a command line
is stronger than the file: whoever asks here asks for what was *not* given otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steer.config import profile_dir
from steer.errors import UsageError

FILE = "steer_config.py"


def load(profile: str = "", folder: Path | None = None) -> dict[str, Any]:
    """What the file sets, named like the arguments of `Cluster`; {} without a file."""
    path = (folder or profile_dir(profile)) / FILE
    if not path.is_file():
        return {}
    from traitlets import TraitError
    from traitlets.config.loader import PyFileConfigLoader

    from steer.configurables import ALL

    try:
        config = PyFileConfigLoader(FILE, path=str(path.parent)).load_config()
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is the user's code
        raise UsageError(f"{path} could not be read: {_where(error, path)}.") from None
    classes = {cls.__name__: cls for cls in ALL}
    found: dict[str, Any] = {}
    for section, traits in config.items():
        if section not in classes:
            raise UsageError(_unknown(path, section, list(classes)))
        names = classes[section].class_trait_names(config=True)
        for name in traits:
            if name not in names:
                known = [f"{section}.{known}" for known in names]
                raise UsageError(_unknown(path, f"{section}.{name}", known))
        try:
            configured = classes[section](config=config)
        except TraitError as error:
            raise UsageError(f"{path}: {error}") from None
        found |= {name: getattr(configured, name) for name in traits}
    return found


def template() -> str:
    """A file that sets nothing and explains everything."""
    from steer.configurables import ALL

    head = f"# {FILE}: settings of this profile's clusters.\n\nc = get_config()  # noqa"
    return "\n\n".join([head, *(cls.class_config_section() for cls in ALL)]) + "\n"


def _unknown(path: Path, name: str, known: list[str]) -> str:
    return f"{path} sets c.{name}, which does not exist; there are {', '.join(known)}."


def _where(error: BaseException, path: Path) -> str:
    """The error in a sentence, with the line of the file where it happened."""
    line = getattr(error, "lineno", None)
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == str(path):
            line = at.tb_lineno
        at = at.tb_next
    text = f"{type(error).__name__}: {error}".replace("\n", " ").rstrip(".: ")
    return f"in line {line}, {text}" if line else text
