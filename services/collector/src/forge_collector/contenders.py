"""Who can be asked again: the gateway's models, and the teacher that the environment names. Keys come from there and stay here."""

from __future__ import annotations

from forge_collector.completion import ChatModel
from forge_collector.settings import Settings
from forge_common.contracts.compare import Teacher
from forge_common.errors import Invalid

_FIX = "set FORGE_TEACHER_URL, FORGE_TEACHER_MODEL and FORGE_TEACHER_KEY, or name a model"


class NoTeacher(Invalid):
    """No model but the local one is known."""


def gateway_model(settings: Settings, name: str) -> ChatModel:
    """`name` as the gateway knows it, e.g. `engie-coder:latest`."""
    return ChatModel(f"{settings.gateway_url.rstrip('/')}/v1", name, settings.gateway_key, is_ours=True)


def live_model(settings: Settings, prefix: str) -> ChatModel:
    return gateway_model(settings, f"{prefix}:latest")


def configured_teacher(settings: Settings) -> ChatModel | None:
    """None when no teacher, or only half of one, is configured. Raises Invalid for a URL that is none."""
    if not settings.teacher_url or not settings.teacher_model:
        return None
    key = settings.teacher_key.get_secret_value() if settings.teacher_key else None
    return ChatModel.at(settings.teacher_url, settings.teacher_model, key or None)


def chosen_teacher(settings: Settings, given: Teacher | None, key: str | None) -> ChatModel:
    """The given teacher with the given key, else the configured one. Raises NoTeacher.

    The configured key goes to the configured URL alone: whoever names another one brings its key.
    """
    configured = configured_teacher(settings)
    if given is None:
        if configured is None:
            raise NoTeacher("no teacher is configured", fix=_FIX)
        return configured
    asked = ChatModel.at(given.url, given.model, key)
    if key is None and configured is not None and configured.url == asked.url:
        return ChatModel(asked.url, asked.name, configured.key)
    return asked
