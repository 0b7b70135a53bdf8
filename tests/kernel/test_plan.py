"""A kernel's plan, as options and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.errors import UsageError
from steer.kernel.plan import Plan, options_of, parse

WORDS = st.text(
    st.characters(exclude_categories=["C"]), min_size=1, max_size=20
).filter(lambda word: word != "--")  # argparse before 3.13 loses it
STARTS = st.builds(
    Plan,
    n=st.none() | st.integers(1, 10_000),
    engines=st.none() | WORDS,
    options=st.dictionaries(WORDS.filter(lambda w: "=" not in w), WORDS),
    cwd=st.none() | WORDS,
    timeout=st.integers(1, 600).map(float),
    profile=WORDS,
    profile_dir=st.none() | WORDS,
    owner=st.none() | st.integers(1, 2**22),
    ranks=st.just("") | WORDS,
)
ATTACHES = st.builds(
    Plan,
    cluster_id=st.none() | WORDS,
    connection=WORDS,
    profile=WORDS,
    ready=st.none() | st.integers(3, 99),
)


@given(STARTS | ATTACHES)
def test_a_plan_survives_the_command_line(plan):
    others = ["-f", "file.json", "--IPKernelApp.quiet=True", "--debug"]
    found, rest = parse([*others, *options_of(plan)])
    assert found == plan
    assert rest == others


def test_nothing_is_said_of_what_is_the_default():
    assert options_of(Plan()) == []
    assert parse([]) == (Plan(), [])


@pytest.mark.parametrize(
    "words",
    [["--n", "2"], ["--launcher", "local"], ["--option", "a=b"]],
)
def test_starting_and_attaching_exclude_each_other(words):
    with pytest.raises(UsageError, match="not both"):
        parse(["--cluster-id", "mine", *words])


def test_an_option_without_a_value_is_said():
    with pytest.raises(UsageError, match="--option hosts has no value"):
        parse(["--option", "hosts"])


@pytest.mark.parametrize(("name", "cluster"), [("default", ""), ("mine", "mine")])
def test_default_is_the_cluster_without_a_name(name, cluster):
    plan, _ = parse(["--cluster-id", name])
    assert plan.attaches
    assert plan.cluster == cluster
