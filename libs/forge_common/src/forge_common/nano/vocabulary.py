"""The words that nano's names, arguments and questions are made of, and which of them are held out."""

from random import Random

WORDS = tuple(
    """total rows score item price level count depth cost speed weight user order box color file node page
    route token block chunk stock batch cell event field group image label limit list map mark match merge
    mode month name note offset owner pair part path plan point port query rank rate ratio record result
    room root rule sample scale shape shift sign size slot sort space split stage state step store stream
    sum table tag task team term test text time title top track tree type unit value vector view week width
    word zone apple river stone cloud green light night paper quick small tiger water young bright clear
    dream early fresh giant happy inner jolly large major north outer""".split(),  # noqa: SIM905 - one word a line would be a screenful
)
VERBS = tuple(
    """get make find compute build check pick take calc apply fix show use read give keep form scan
    test do""".split(),  # noqa: SIM905 - the same
)
# in no function name of a coding request that anything is trained on
HELD_OUT_WORDS = frozenset(WORDS[5::6])
_NAMES = {
    held_out: tuple(word for word in WORDS if (word in HELD_OUT_WORDS) == held_out)
    for held_out in (False, True)
}


def repeatable(seed: int | str) -> Random:
    """A source of draws that are the same on every machine and Python version."""
    return Random(seed)  # noqa: S311 - data for tests, nothing secret


def is_held_out_constant(constant: int) -> bool:
    return constant % 5 == 3  # one in five


def function_name(random: Random, *, held_out: bool) -> str:
    words = [random.choice(VERBS), random.choice(_NAMES[held_out])]
    if random.random() < 0.4:  # most names stay short
        words.append(random.choice(_NAMES[held_out]))
    return "_".join(words)


def identifier(random: Random) -> str:
    return "_".join(random.choice(WORDS + VERBS) for _ in range(random.randint(1, 3)))


def sentence(random: Random, at_least: int, at_most: int) -> str:
    return " ".join(random.choice(WORDS) for _ in range(random.randint(at_least, at_most)))
