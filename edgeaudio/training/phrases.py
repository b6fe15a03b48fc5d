"""What else people say: phrases for synthetic negatives."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COMMANDS", "confusables"]

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")

# Found by listening for words that share the stressed vowel and most consonants.
_NEAR_COMMANDS = (
    "yet yell guess yesterday chess|know how now note goat glow row nope new nor mow toe|cup us pup above"
    " but uh|town dumb noun dawn done gown|lift laughed let lead leaf loft lifted|ride light night write rye"
    " white rate|un own awn john one|of cough awful office if offer oft|step top shop stuff stock store"
    "|gold got ago oh dough girl gone"
)
_NEAR_COMPUTER = (
    "compute commuter competitor complete compete composer pewter tutor compiler company accuser computing"
    " computation commute computed compound compact comfort combine communicate community future suitor"
    " shooter scooter neuter looter peter pupil dispute amuser confuser consumer confuse compose compass"
    " complain committee comedian repute impute user muter"
)
_COMMON = (
    "hello house cat bird tree zero two three four five six seven eight nine bed dog happy wow marvin sheila"
    " learn follow forward backward visual music kitchen window morning please thanks okay water people time"
    " lights volume weather television radio message telephone question answer"
)


def confusables(words: Sequence[str]) -> list[str]:
    """Phrases that a model of these words must not take for one, in a fixed order, none twice.

    Near sounds are known for the ten commands and "computer". For any phrase of several words its
    parts are added: a model of "hey marvin" must not answer to "hey" or to "marvin".
    """
    groups = dict(zip(COMMANDS, _NEAR_COMMANDS.split("|"), strict=True)) | {"computer": _NEAR_COMPUTER}
    found = _COMMON.split()
    for word in words:
        found += groups.get(word, "").split()
        parts = word.split()
        for n in range(1, len(parts)):
            found += [" ".join(parts[:n]), " ".join(parts[-n:])]
    return [phrase for phrase in dict.fromkeys(found) if phrase not in words]
