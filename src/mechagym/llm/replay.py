"""`replay:FILE` for agents in our process: the replies of a tape, without any network."""

import anyio
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from mechagym.llm.canonical import of_messages
from mechagym.llm.player import Player
from mechagym.llm.tape import ModelExchange


class ReplayModel(Model):
    """Answers with what was recorded. Its usage is replayed too; it costs nothing."""

    def __init__(self, player: Player) -> None:
        super().__init__()
        self._player = player

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The reply that was recorded for this request. Raises ModelError where there is none."""
        asked = of_messages(
            messages,
            model_settings,
            model_request_parameters,
            normalise=self._player.patterns,
        )
        exchange = self._player.take("model", "library", asked)
        assert isinstance(exchange, ModelExchange)
        if self._player.speed == "recorded":
            await anyio.sleep(exchange.total_ms / 1000)
        (reply,) = ModelMessagesTypeAdapter.validate_python([exchange.response])
        assert isinstance(reply, ModelResponse)
        return reply

    @property
    def model_name(self) -> str:
        """The file that is played."""
        return str(self._player.path)

    @property
    def system(self) -> str:
        """What a reply is said to be from."""
        return "replay"
