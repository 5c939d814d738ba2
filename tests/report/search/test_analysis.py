"""The sentences of a search's report contain the figures of its journal."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drilldown.report.search.analysis import further_commands, search_sentences, with_option
from drilldown.report.search.evidence import SearchEvidence
from drilldown.search.running import load_state
from support.search_claims import check_claims


def test_sentences_count_trainings_and_name_what_diverged(best: SearchEvidence) -> None:
    text = " ".join(search_sentences(best))
    results = [event for event in best.events if event["kind"] == "result"]
    raced = [event for event in results if event["seed"] < 100]
    candidates = {event["candidate"] for event in raced}
    assert f"The race of {len(candidates)} candidates took {len(raced)} trainings" in text
    assert f"Fresh seeds took {len(results) - len(raced)} more" in text
    diverged = {str(event["candidate"]) for event in results if event["loss"] is None}
    assert diverged
    named = text.partition("diverged, or could not be trained, and count as failed: ")[2].partition(".")[0]
    assert set(named.split(", ")) == diverged


def test_a_search_says_how_it_ended(best: SearchEvidence, smallest: SearchEvidence) -> None:
    assert search_sentences(best)[-1] == "The search tried its 24 candidates."
    ended = "The search has ended: no smaller limit is worth a try."
    assert (search_sentences(smallest)[-1] == ended) == smallest.state.ended


def test_commands_double_the_extent_and_start_from_the_winner(best: SearchEvidence) -> None:
    commands = further_commands(best, "drilldown search 'a b.toml' --candidates 24", has_winner=True)
    assert commands[0].text == "drilldown search 'a b.toml' --candidates 48"
    winner = str(best.folder / "winner.toml")
    assert [shlex.split(one.text)[1] for one in commands] == ["search", "run", "ablate", "new", "search"]
    assert all(winner in shlex.split(one.text) for one in commands[1:4])
    assert len(further_commands(best, "drilldown search a.toml", has_winner=False)) == 2


def test_an_option_is_replaced_or_added() -> None:
    assert with_option("drilldown search --hours 2 a.toml", "hours", "4") == "drilldown search --hours 4 a.toml"
    assert with_option("drilldown search a.toml", "export", "study.db").endswith("a.toml --export study.db")


NAMES = ("best", "smallest", "nothing", "on_test")
Stop = Callable[[str, float], SearchEvidence]


@pytest.fixture
def stop(request: pytest.FixtureRequest) -> Stop:
    """Makes a search as it was after a share of its events: a killed search stands there."""
    known: dict[str, SearchEvidence] = {name: request.getfixturevalue(name) for name in NAMES}

    def stopped(name: str, share: float) -> SearchEvidence:
        evidence = known[name]
        events = [*evidence.events[: max(1, round(share * len(evidence.events)))]]
        return replace(evidence, events=events, state=load_state(evidence.search, events))

    return stopped


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), share=st.floats(0, 1))
def test_every_sentence_is_true_at_every_moment_of_a_search(stop: Stop, name: str, share: float) -> None:
    check_claims(stop(name, share))


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_about_a_whole_search_is_true(stop: Stop, name: str) -> None:
    assert len(check_claims(stop(name, 1.0))) >= 3
