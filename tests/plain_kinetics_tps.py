"""The rules of the Kinetics-TPS score, box by box and slowly, independent of `parsing.datasets.kinetics_tps`; benchmarks use it too."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment


def overlap(a: Any, b: Any) -> Any:
    """IoU of two boxes with inclusive corners, -1 where they do not touch; in the precision of its arguments."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return -1.0
    area_a = (a[2] - a[0] + 1) * (a[3] - a[1] + 1)
    area_b = (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
    return width * height / (area_a + area_b - width * height)


def matches(true: list[dict[str, Any]], said: list[dict[str, Any]]) -> dict[int, int]:
    """Which prediction belongs to which person."""
    table = np.zeros((len(true), len(said)), np.float32)
    for i, person in enumerate(true):
        for j, other in enumerate(said):
            table[i, j] = overlap(np.float32(person["box"]), np.float32(other["box"]))
    side = max(len(true), len(said))
    square = np.zeros((side, side)) if len(true) != len(said) else table
    if square is not table:
        square[: len(true), : len(said)] = table
    pairs = zip(*linear_sum_assignment(1 - square), strict=True)
    return {int(i): int(j) for i, j in pairs if i < len(true) and j < len(said) and table[i, j] > 0.5}


def person_sum(person: dict[str, Any], said: dict[str, Any]) -> float:
    total = 0.0
    for name, part in person["parts"].items():
        if name not in said["parts"]:
            continue
        boxes, verbs = said["parts"][name]["box"], said["parts"][name]["verb"]
        if not isinstance(boxes[0], list):
            boxes, verbs = [boxes], [verbs]
        for box, verb in zip(boxes, verbs, strict=True):
            if overlap(part["box"], box) >= 0.3 and verb == part["verb"]:
                total += 1.0 / len(boxes)
                break
    return total


def psc(true: dict[str, Any], said: dict[str, Any]) -> float:
    frames, total = len(true), 0.0
    for name, frame in true.items():
        people = frame["humans"]
        if not people:
            frames -= 1
            continue
        if name not in said:
            continue
        pairs = matches(people, said[name]["humans"])
        num_parts = sum(len(person["parts"]) for person in people)
        if num_parts == 0:
            frames -= 1
            continue
        correct = 0.0
        for i, person in enumerate(people):
            if i in pairs:
                correct += person_sum(person, said[name]["humans"][pairs[i]])
        total += correct / num_parts
    return total / frames if frames else 1.0


def score(true_parts: Any, true_actions: Any, parts: Any, actions: Any) -> float:
    rows = [(psc(true_parts[video], parts[video]), actions[video] == action) for video, action in true_actions.items()]
    area = 0.0
    for t in range(1, 10_000):
        area += sum(right and value >= t / 10_000 for value, right in rows) / len(rows) / 10_000
    return area


def random_results(seed: int, videos: int, frames: int, persons: int, proposals: int = 1) -> tuple[Any, Any, Any, Any]:
    """Ground truth and a prediction that is often near it; with odd frames, missing frames, persons and parts."""
    random = np.random.default_rng(seed)
    parts = ("head", "hip", "left_arm", "right_arm", "left_hand", "right_hand", "left_leg", "right_leg", "left_foot", "right_foot")
    verbs = ("bend", "step", "none", "hold")

    def box(low: float, high: float, whole: bool) -> list[float]:
        corner, sides = random.uniform(low, high, 2), random.uniform(5, 60, 2)
        values = [*corner, *(corner + sides)]
        return [float(round(v)) if whole else round(float(v), 1) for v in values]

    def near(other: list[float], noise: float) -> list[float]:
        moved = np.round(np.array(other) + random.normal(0, noise, 4), 1)
        return [*moved[:2].tolist(), *np.maximum(moved[2:], moved[:2]).tolist()]

    true: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for v in range(videos):
        true[f"v{v}"], said[f"v{v}"] = {}, {}
        for f in range(frames):
            name = f"img_{5 * f + 1:05d}.json"
            people, others = [], []
            for _ in range(int(random.integers(0, persons + 1)) if random.random() < 0.3 else persons):
                whole = random.random() < 0.5
                body = box(0, 150, whole)
                own = {
                    p: {"box": near(body, 4) if random.random() < 0.5 else box(0, 150, whole), "verb": str(random.choice(verbs))}
                    for p in parts
                    if random.random() < 0.8
                }
                people.append({"box": body, "parts": own if random.random() < 0.95 else {}})
                if random.random() < 0.85:
                    guess: dict[str, Any] = {}
                    for p in parts:
                        base = own[p]["box"] if p in own else body
                        if proposals == 1:
                            guess[p] = {"box": near(base, 6), "verb": own[p]["verb"] if p in own and random.random() < 0.7 else "step"}
                        else:
                            n = int(random.integers(1, proposals + 1))
                            guess[p] = {"box": [near(base, 6) for _ in range(n)], "verb": [str(random.choice(verbs)) for _ in range(n)]}
                    others.append({"box": near(body, 4), "parts": guess})
            true[f"v{v}"][name] = {"humans": people}
            order = random.permutation(len(others))
            if random.random() < 0.95:
                said[f"v{v}"][name] = {"humans": [others[i] for i in order]}
    actions = {video: str(random.choice(["jump", "run"])) for video in true}
    guesses = {video: action if random.random() < 0.8 else "walk" for video, action in actions.items()}
    return true, actions, said, guesses
