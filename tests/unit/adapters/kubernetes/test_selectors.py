"""Selectors as objects hold them and as /scale writes them."""

from __future__ import annotations

from typing import Any

import pytest

from twinops.adapters.kubernetes.selectors import of_labels, of_object, of_text

LABELS = {"app": "checkout", "tier": "web", "app.kubernetes.io/part-of": "shop", "empty": ""}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("app=checkout", True),
        ("app==checkout,tier=web", True),
        (" app = checkout , tier in ( web , db ) ", True),
        ("app.kubernetes.io/part-of=shop", True),
        ("app=check", False),
        ("tier notin (web)", False),
        ("tier notin (db)", True),
        ("missing notin (x)", True),
        ("missing!=x", True),
        ("tier!=web", False),
        ("tier", True),
        ("!tier", False),
        ("!missing,app", True),
        ("empty=", True),
    ],
)
def test_texts(text: str, *, holds: bool) -> None:
    selector = of_text(text)
    assert selector is not None
    assert selector.holds(LABELS) is holds
    again = of_text(selector.text)
    assert again == selector, "what is sent to the API server means the same"


@pytest.mark.parametrize("text", ["", "a=b=c", "in (a)(b)", "a in b", ",,"])
def test_texts_that_select_nothing(text: str) -> None:
    assert of_text(text) is None


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ({"matchLabels": {"app": "checkout"}}, True),
        ({"matchLabels": {"app": "checkout", "tier": "db"}}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web", "db"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchLabels": {"app": "checkout"}, "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_objects(selector: dict[str, Any], *, holds: bool) -> None:
    found = of_object(selector)
    assert found is not None
    assert found.holds(LABELS) is holds
    assert of_text(found.text) == found


def test_an_empty_selector_is_nobodys() -> None:
    assert of_object({}) is None
    assert of_object(None) is None
    assert of_labels({}) is None
    assert of_labels({"app": "checkout"}) == of_text("app=checkout")
