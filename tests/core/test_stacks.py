"""Stacks of ranks merge without loss, in any order, and quickly."""

from __future__ import annotations

import time

import hypothesis
from hypothesis import strategies as st

from steer.core.rankstates import Spot
from steer.core.stacks import DEEPEST, Frames, boxes, merge, merge_ranks, render
from steer.ranks import RankSet

MAIN = ("/home/ann/solver.py", 200, "<module>")
STEP = ("/home/ann/solver.py", 120, "step")
RHS = ("/home/ann/solver.py", 88, "rhs")

frames = st.tuples(st.just("a.py"), st.integers(1, 3), st.sampled_from("fgh"))
stacks = st.lists(frames, max_size=5).map(tuple)


def test_the_example_reads_as_it_should():
    read = Frames()
    near, far = read.stack([MAIN, STEP]), read.stack([MAIN, RHS])
    tree = merge([(0b0111, near), (0b1000, far)])
    said = render(tree, lambda b: "Allreduce" if b.spot.function == "step" else "")
    assert said == (
        "[0-3] (4)  <module>  solver.py:200\n"
        "[3]          rhs     solver.py:88\n"
        "[0-2] (3)    step    solver.py:120    Allreduce\n"
    ) or said == (
        "[0-3] (4)  <module>  solver.py:200\n"
        "[0-2] (3)    step    solver.py:120    Allreduce\n"
        "[3]          rhs     solver.py:88\n"
    )


def test_the_largest_branch_comes_first():
    read = Frames()
    near, far = read.stack([MAIN, STEP]), read.stack([MAIN, RHS])
    tree = merge_ranks(range(4), [far, near, near, near])
    assert [str(branch.ranks) for _, branch in tree.walk()] == ["0-3", "1-3", "0"]


@hypothesis.given(st.lists(stacks, max_size=20), st.randoms(use_true_random=False))
def test_no_rank_is_lost_and_order_does_not_matter(said, chance):
    read = Frames()
    pairs = [(1 << rank, read.stack(stack)) for rank, stack in enumerate(said)]
    tree = merge(pairs)
    by_rank = merge_ranks(range(len(said)), [stack for _, stack in pairs])
    chance.shuffle(pairs)
    again = merge(pairs)
    assert render(tree) == render(again) == render(by_rank)
    found: dict[int, list[Spot]] = {}
    for _, branch in tree.walk():
        for rank in branch.ranks:
            found.setdefault(rank, []).append(branch.spot)
    assert [found.get(rank, []) for rank in range(len(said))] == [
        [Spot(*frame) for frame in stack] for stack in said
    ]


def test_samples_over_time_show_their_share():
    read = Frames()
    near, far = read.stack([MAIN, STEP]), read.stack([MAIN, RHS])
    said = render(merge([(1, near)] * 3 + [(1, far)]), over_time=True)
    assert " 75 %    step" in said
    assert " 25 %    rhs" in said


def test_endless_recursion_is_cut_in_the_middle():
    stack = Frames().stack([MAIN, *[RHS] * 5000])
    assert len(stack) == DEEPEST + 1
    said = render(merge([(1, stack)]))
    assert "4,801 frames more" in said


def test_boxes_stand_upon_each_other():
    read = Frames()
    near, far = read.stack([MAIN, STEP]), read.stack([MAIN, RHS])
    drawn = boxes(merge_ranks(range(4), [near, near, near, far]))
    assert [(box.left, box.width, box.depth) for box in drawn] == [
        (0.0, 1.0, 0),
        (0.0, 0.75, 1),
        (0.75, 0.25, 1),
    ]
    assert drawn[1].label == "step solver.py:120"
    assert drawn[1].ranks == "0-2"


def test_ten_thousand_stacks_merge_in_milliseconds():
    """20 ms are promised; a busy machine gets five times as long, the best of five."""
    ranks, said = ten_thousand()
    best = min(timed(ranks, said) for _ in range(5))
    assert best < 0.1, f"{best * 1000:.1f} ms"


def ten_thousand():
    read = Frames()
    said = []
    for rank in range(10_000):
        deep = [("/home/ann/solver.py", line, f"f{line}") for line in range(18)]
        last = ("/home/ann/solver.py", 100 + rank % 40, f"kernel{rank % 7}")
        said.append(read.stack([*deep, last, STEP]))
    return range(10_000), said


def timed(ranks, said) -> float:
    began = time.perf_counter()
    tree = merge_ranks(ranks, said)
    took = time.perf_counter() - began
    assert tree.roots[0].ranks == RankSet(range(10_000))
    return took
