"""Pictures of runs: every quantity has its panel with a unit, runs can be told apart."""

import json

import pytest

from spa_bench.cli import main
from spa_bench.errors import InputError
from spa_trainers.curves import _LOOKS, draw, panels_of
from spa_trainers.step_log import read

STEP = {
    "reward": 1.0,
    "reward_spread": 2.0,
    "entropy": 0.4,
    "reply_tokens": 50.0,
    "format": 0.9,
    "cut_off": 0.0,
    "kept": 0.25,
    "explained_variance": 0.1,
    "rollout_seconds": 3.0,
}
SOME = {"reward": 1.0, "format": 0.9}
SCORE = {"w/pass@1": 0.2}
EVALUATION = {"w/pass@1": 0.2, "w/pass@8": 0.6, "w/observation": 0.9, "w/prediction": 0.7}


def _run(folder, step=SOME, more=SCORE):
    """Writes a log of 60 steps. A picture of all quantities takes seconds, so most have two."""
    folder.mkdir(parents=True)
    lines = [{"step": 0, **more}, *({"step": s, **step} for s in range(1, 60))]
    lines.append({"step": 60, **step, **more})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_each_quantity_has_a_panel_with_its_unit(tmp_path):
    svg, png = draw([_run(tmp_path / "a" / "rl", STEP, EVALUATION)], tmp_path / "curves.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    panels = panels_of([read(tmp_path / "a")])
    assert set(panels) == {*STEP, *EVALUATION} - {"rollout_seconds"}
    for panel in panels.values():
        assert f">{panel.title}<" in text
        assert f">{panel.unit}<" in text
    assert text.count(">step<") == len(panels)


def test_held_out_boards_come_first_and_belief_only_where_a_format_has_it(tmp_path):
    plain = {"w/pass@1": 0.2, "w/pass@8": 0.6}
    panels = panels_of([read(_run(tmp_path / "a", more=plain))])
    assert [panel.title for panel in panels.values()][:3] == ["w: Pass@1", "w: Pass@8", "Reward"]
    assert not any("exact" in panel.title for panel in panels.values())


def test_runs_in_one_picture_have_names_and_looks_of_their_own(tmp_path):
    folders = [_run(tmp_path / f"seed-{n}" / "rl") for n in range(3)]
    svg, _ = draw(folders, tmp_path / "all.svg")
    assert all(f">seed-{n}<" in svg.read_text() for n in range(3))
    # without colour too
    assert len({(str(dash), marker) for _, dash, marker in _LOOKS}) == len(_LOOKS)


def test_a_picture_of_the_same_log_is_the_same_picture(tmp_path):
    folder = _run(tmp_path / "a")
    one, other = (draw([folder], tmp_path / name)[0] for name in ("x", "y"))
    assert one.read_bytes() == other.read_bytes()


def test_a_log_that_was_cut_off_is_drawn_as_far_as_it_goes(tmp_path):
    folder = _run(tmp_path / "a")
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"step": 61, "rew')
    assert read(folder)[-1]["step"] == 60
    draw([folder], tmp_path / "curves.svg")


@pytest.mark.parametrize(
    ("folders", "message"),
    [(["none"], "no log of reinforcement learning"), (["a", "a"], "given twice")],
)
def test_what_cannot_be_drawn_is_said(tmp_path, folders, message):
    _run(tmp_path / "a")
    with pytest.raises(InputError, match=message):
        draw([tmp_path / name for name in folders], tmp_path / "curves.svg")


def test_a_log_without_steps_is_said(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(InputError, match="no step yet"):
        draw([tmp_path], tmp_path / "curves.svg")


def test_the_command_draws_beside_the_log_or_where_it_is_told(tmp_path, capsys):
    run = tmp_path / "a"
    _run(run / "rl")
    with pytest.raises(SystemExit) as done:
        main(["train", "curves", str(run)])
    assert done.value.code == 0
    assert (run / "rl" / "curves.svg").is_file()
    with pytest.raises(SystemExit) as done:
        main(["train", "curves", str(run), str(_run(tmp_path / "b")), "--output", f"{run}/x.svg"])
    assert done.value.code == 0
    assert (run / "x.png").is_file()
    assert str(run / "x.png") in capsys.readouterr().out


def test_the_command_says_where_no_log_is(tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "curves", str(tmp_path)])
    assert done.value.code == 2
    assert "no log of reinforcement learning" in capsys.readouterr().err
