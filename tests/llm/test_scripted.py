"""Models that say what was written down, through the whole stack."""

from pathlib import Path
from typing import Any

import pytest

from mechagym.budget import Budget, Meter
from mechagym.errors import BudgetExhausted, ConfigError, ModelError
from mechagym.events import EventBody, ModelAnswered, ModelFailed
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.credentials import Credentials
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.settings import LlmSettings
from mechagym.llm.stack import Models
from mechagym.records import Usage
from tests.llm.parts import QUICK, ask, ask_streamed

pytestmark = pytest.mark.anyio
SCRIPT = """
- {text: hello, thinking: hm, usage: {input: 100, output: 7, reasoning: 2, cache_read: 30}}
- {error: {status: 529, message: busy}}
- {calls: [{name: read, arguments: {path: a}}], delay_s: 0.001}
- {text: who knows, usage: none}
- {error: {kind: quota, message: no more credit}}
"""


def opened(name: str, prices: Path | None = None, budget: Budget = Budget()) -> Any:
    events: list[EventBody] = []
    models = Models(
        settings=LlmSettings(retry=QUICK),
        catalogue=Catalogue(),
        prices=PriceTable.load(*([prices] if prices else []), free=["scripted"]),
        credentials=Credentials(environ={}),
    )
    meter = Meter(budget=budget)
    model = models.open_model(ModelName("scripted", name), meter=meter, emit=events.append)
    return model, meter, events


@pytest.mark.parametrize("way", [ask, ask_streamed], ids=["plain", "streamed"])
async def test_a_file_is_said_in_order(tmp_path: Path, way: Any):
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    model, meter, events = opened(str(path))
    first = await way(model)
    assert [(p.part_kind, p.content) for p in first.parts] == [
        ("thinking", "hm"),
        ("text", "hello"),
    ]
    told = Usage(input=100, output=7, reasoning=2, cache_read=30)
    assert meter.settled.usage == told
    second = await way(model)
    assert second.tool_calls[0].args_as_dict() == {"path": "a"}
    assert [e.status for e in events if isinstance(e, ModelFailed)] == [529]
    assert (await way(model)).text == "who knows"
    assert not [e for e in events if isinstance(e, ModelAnswered)][-1].measured
    with pytest.raises(ModelError, match="no more credit") as caught:
        await way(model)
    assert caught.value.reason == "quota"
    with pytest.raises(ModelError, match="no more replies"):
        await way(model)
    assert meter.settled.billed_nano == 0


@pytest.mark.parametrize("function", ["says_text", "says_more", "says_later"])
@pytest.mark.parametrize("way", [ask, ask_streamed], ids=["plain", "streamed"])
async def test_a_function_of_ones_own(function: str, way: Any):
    model, _, _ = opened(f"tests.llm.scripts:{function}")
    assert (await way(model, "ping")).text == "pong to ping"


async def test_a_script_may_have_a_price(tmp_path: Path):
    """So that a cap can be shown to hold without paying anybody."""
    path, prices = tmp_path / "s.yaml", tmp_path / "pricing.yaml"
    path.write_text("- &r {text: x, usage: {input: 1000, output: 1000}}\n" + "- *r\n" * 99)
    prices.write_text(
        "version: 1\nas_of: 2026-11-20\n"
        'models: {"scripted:*": {input_per_mtok_usd: 1, output_per_mtok_usd: 10}}'
    )
    model, meter, events = opened(str(path), prices, Budget(usd=0.1))
    for _ in range(9):
        await ask(model, max_tokens=1000)
    with pytest.raises(BudgetExhausted):
        await ask(model, max_tokens=1000)
    assert len([e for e in events if isinstance(e, ModelAnswered)]) == 9
    assert meter.settled.billed_nano == 9 * 11_000_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {txt: x}", "0.txt"),
        ("text: x", "the file"),
        ("- {usage: {input: -1}}", "0.usage"),
        (": : :", "YAML"),
        (None, "No such file"),
    ],
)
def test_a_broken_script_says_where(tmp_path: Path, text: str | None, says: str):
    path = tmp_path / "s.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        opened(str(path))


@pytest.mark.parametrize("name", ["no.such.module:f", "tests.llm.scripts:nothing"])
def test_a_function_that_is_not_there(name: str):
    with pytest.raises(ConfigError, match="scripted:"):
        opened(name)
