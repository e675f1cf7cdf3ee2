"""Recognizers of other actions than those of the part states, background classes, and clips that are too short."""

from pathlib import Path

import numpy as np
import pytest
import torch

from parsing.errors import InputError
from parsing.label_lists import label_list
from parsing.networks.weights import read_header
from parsing.states.decoding import StateDecoder
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.types import ActionScores
from parsing.vocabulary import Vocabulary
from pipelines import VideoParser
from pipelines.parse.conditioning import Conditioning, read_aliases
from recognizers.labels import ActionLabels
from tests.builders import ramp, write_bias_network, write_video


def test_shared_actions_are_found_by_name_in_any_order() -> None:
    carry = Conditioning(("jump_rope", "Riding-a bike", "walk"), ("walk", "run", "riding_a_bike"))
    given = carry(np.array([0.5, 0.3, 0.2], np.float32))
    assert given is not None
    assert np.allclose(given, [0.2, 0, 0.3])  # the share of jump_rope is of no action that is known
    assert carry.note == "conditioned on 2 of 3 actions that the recognizers know too: walk, riding_a_bike"


def test_equal_actions_pass_as_they_are() -> None:
    carry, given = Conditioning(("a", "b"), ("a", "b")), np.array([0.25, 0.75], np.float32)
    assert carry(given) is given
    assert carry(None) is None
    assert carry.note == ""


def test_no_shared_action_is_an_unknown_action() -> None:
    carry = Conditioning(("a", "b"), ("c", "d"))
    assert carry(np.array([0.5, 0.5])) is None
    assert carry.note == "conditioned on 0 of 2 actions that the recognizers know too"


def test_aliases_join_several_actions(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("dunking basketball: basketball\nshooting basketball: basketball\n")
    aliases = read_aliases(str(tmp_path / "a.yaml"))
    carry = Conditioning(("dunking basketball", "shooting basketball", "ski"), ("run", "basketball"), aliases)
    given = carry(np.array([0.5, 0.25, 0.25]))
    assert given is not None
    assert given.tolist() == [0, 0.75]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "a.yaml: expected lines"),
        ("a: 3\n", "a.yaml: expected lines"),
        ("a: [b]\n", "a.yaml: expected lines"),
        ("a: swim\n", "action_aliases: 'swim' is no action of the part states; expected one of run"),
    ],
)
def test_aliases_that_do_not_fit_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        Conditioning(("a",), ("run",), read_aliases(str(tmp_path / "a.yaml")))


def test_the_network_takes_what_a_distribution_lacks_as_unknown() -> None:
    torch.manual_seed(0)
    a = PartStateArchitecture(backbone="test_resnet", part_level=1, person_level=2, input_px=32, dim=8, heads=2, depth=1)
    network = PartStateNet(a, torch.ones(2, 3, dtype=torch.bool), 2).eval()
    torch.nn.init.normal_(network.unknown_action)  # type: ignore[arg-type]
    crops, boxes, seen = torch.rand(1, 3, 32, 32), torch.tensor([[[0.0, 0, 20, 20], [5, 5, 30, 30]]]), torch.ones(1, 2, dtype=torch.bool)

    def logits(actions: torch.Tensor | None) -> torch.Tensor:
        with torch.inference_mode():
            return network(crops, boxes, seen, actions)  # type: ignore[no-any-return]

    assert torch.allclose(logits(torch.zeros(1, 2)), logits(None), atol=1e-6)
    assert not torch.allclose(logits(torch.tensor([[0.6, 0.0]])), logits(torch.tensor([[1.0, 0.0]])), atol=1e-4)


def test_the_prior_of_an_unknown_share_is_that_over_all_actions() -> None:
    decoder = StateDecoder(1, 2, 1)
    decoder.prior.copy_(torch.tensor([0.9, 0.1, 0.4]).view(3, 1, 1))
    decoder.prior_weight.fill_(1.0)
    found = decoder(torch.zeros(1, 1, 1), torch.tensor([[0.5, 0.25]]))
    assert found.item() == pytest.approx(0.5 * 0.9 + 0.25 * 0.1 + 0.25 * 0.4)


def test_a_recognizer_of_other_actions_stands_beside_any_part_states(tiny_pipeline: Path, tmp_path: Path) -> None:
    """Its actions are those of the parse; part states know only `run` of them."""
    names = ("run", *(f"action {i}" for i in range(399)))
    weights = write_bias_network(tmp_path / "r.safetensors", ActionLabels(names), (1.0, 3.0, *([0.0] * 398)))
    write_video(tmp_path / "v.mp4", [ramp(i) for i in range(8)])
    parse = VideoParser.from_config(str(tiny_pipeline), [f"recognizers=[{{name: tsm, weights: {weights}}}]"], "cpu")(tmp_path / "v.mp4")
    assert parse.vocabulary.actions == names
    assert [action.label for action in parse.actions] == ["action 0"]
    (states,) = (model for model in parse.models if model.stage == "part_states")
    assert states.note == "conditioned on 1 of 2 actions that the recognizers know too: run"


def test_background_competes_and_never_holds(tiny_pipeline: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [ramp(i) for i in range(8)])
    shown = {}
    for background in ((), ("run",)):
        weights = write_bias_network(
            tmp_path / f"r{len(background)}.safetensors", ActionLabels(("run", "walk"), background=background), (2.0, 1.0)
        )
        recognizer = f"recognizers=[{{name: tsm, weights: {weights}}}]"
        shown[background] = VideoParser.from_config(str(tiny_pipeline), [recognizer], "cpu")(tmp_path / "v.mp4")
    assert [action.label for action in shown[()].actions] == ["run"]
    assert shown["run",].actions == ()
    probabilities = shown["run",].action_windows[0].probabilities
    assert probabilities == pytest.approx([np.e / (np.e + 1), 1 / (np.e + 1)], abs=1e-4)
    assert not ActionScores.of(np.array([0.3, 0.7]), False, (), [1]).holds.any()


@pytest.mark.parametrize(
    ("background", "multi_label", "message"),
    [(("swim",), False, "'swim' is no class"), (("run",), True, "multi-label"), (("run", "walk"), False, "holds every class")],
)
def test_background_that_does_not_fit_is_refused(
    background: tuple[str, ...], multi_label: bool, message: str, tiny_pipeline: Path, tmp_path: Path
) -> None:
    labels = ActionLabels(("run", "walk"), multi_label, background=background)
    weights = write_bias_network(tmp_path / "r.safetensors", labels, (2.0, 1.0))
    with pytest.raises(InputError, match=message):
        VideoParser.from_config(str(tiny_pipeline), [f"recognizers=[{{name: tsm, weights: {weights}}}]"], "cpu")


@pytest.mark.parametrize(("num_frames", "labels"), [(1, []), (4, []), (5, ["run"]), (8, ["run"])])
def test_clips_of_at_most_half_of_what_a_network_samples_have_no_action(
    num_frames: int, labels: list[str], tiny_pipeline: Path, tmp_path: Path
) -> None:
    weights = write_bias_network(tmp_path / "r.safetensors", ActionLabels(("run", "walk")), (2.0, 1.0), num_segments=8)
    write_video(tmp_path / "v.mp4", [ramp(i) for i in range(num_frames)])
    parser = VideoParser.from_config(str(tiny_pipeline), [f"recognizers=[{{name: tsm, weights: {weights}}}]"], "cpu")
    assert parser.by_size.large is not None
    assert parser.by_size.large.recognizer.least_frames == 5
    assert [action.label for action in parser(tmp_path / "v.mp4").actions] == labels


def test_shipped_aliases_lead_to_actions_of_the_shipped_part_states() -> None:
    """Every left side is a name of Kinetics-400, every right side one that the default weights know."""
    aliases, known = (
        read_aliases("default/kinetics400"),
        Vocabulary.of_weights(read_header("default/part_states", "part_state_net").labels, Path("w")).actions,
    )
    assert set(aliases) <= set(label_list("kinetics400"))
    shared = Conditioning(label_list("kinetics400"), known, aliases).shared
    assert {"boxing", "diving", "run", "skateboarding"} <= set(shared)
