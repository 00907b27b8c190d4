"""Whether a sentence speaks to whoever scores the answer, or is a verdict on itself. It then says nothing about the task.

What other wordings and languages slip through gains nothing either: they share no words with the task (`topic.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WHO = (
    r"(?:graders?|scorers?|evaluators?|assessors?|markers?|raters?|referees?|judging model|(?:llm|ai)[ -]judges?"
    r"|(?:automat\w+|language|scoring|grading|judge) (?:model|system|script|judge|grader|evaluator)s?|llms?|chatbots?)"
)
_APPARATUS = (
    r"(?:rubrics?|instructions?|criteria|criterion|guidelines?|system prompts?|(?:scor|grad|mark|evaluat)\w* "
    r"(?:rules?|schemes?|sheets?|policy|keys?|standards?)|answer keys?|(?:reference|gold|model) answers?)"
)
_SELF = (
    r"(?:(?:this|the above|the following|my|the (?:student|candidate|model)'s|the present) "
    r"(?:answer|response|submission|solution|completion|reply|output|text|essay|work)|this (?:one|document)|the above)"
)
_BEST = (
    r"(?:full|max(?:imum)?|perfect|highest|top|best(?: possible)?|complete|100|one hundred|hundred|10/10|100/100|5/5"
    r"|a\+|all (?:the )?(?:available )?)"
)
_MARKS = r"(?:marks?|points?|scores?|credits?|grades?|ratings?|percent|%|out of (?:10|100|ten)\b|stars?)"
_GIVE = (
    r"(?:award|give|assign|grant|rate|mark|score|grade|return|output|set|report|print|respond with|reply with|treat"
    r"|accept|record|enter|consider|evaluate|deem)"
)
_PATTERNS = (
    (rf"\b(?:ignor\w*|disregard\w*|overrid\w*|forget|bypass|skip|discard|do not (?:use|apply|follow)|don't (?:use|apply|follow)"
    rf"|stop (?:using|applying|following)|instead of (?:using|applying)|no longer (?:use|apply|follow))\b[^.]{{0,60}}\b{_APPARATUS}\b"),
    (rf"\b(?:note|message|instructions?|memo|attention|attn|request|order|hint|dear|hello|hi|hey)\b[:,]?"
    rf"(?: (?:to|for))?(?: (?:the|all|any|every|whoever|our|you|my))* ?\b(?:{_WHO}|judges?|examiners?)\b"),
    rf"\b(?:as|you are|you're|act as|acting as|pretend to be|be) (?:an?|the|my|our) (?:\w+ ){{0,3}}?(?:{_WHO})\b",
    rf"^\W{{0,6}}{_WHO}\b\s{{0,3}}[:,!–—-]",
    rf"[^\w\s]\s{{0,3}}{_WHO}\b\s{{0,3}}:",
    r"^\W{0,6}(?:system|assistant|developer|admin(?:istrator)?|user)(?: (?:note|message|prompt|override|notice|update))?\W{0,3}[:>\]|]",
    r"<\|[a-z_]{2,20}\|>|\[/?inst\]|</?(?:system|assistant|answer|rubric|score|verdict|grade|points|instructions?)>",
    rf"\b{_GIVE}\b[^.]{{0,50}}(?:\b{_SELF}\b|\b(?:it|me|us)\b)[^.]{{0,60}}{_BEST}",
    rf"\b{_GIVE}\b[^.]{{0,50}}{_BEST}[^.]{{0,30}}\b{_MARKS}[^.]{{0,40}}(?:{_SELF}|\b(?:me|regardless|whatever|no matter)\b)",
    (rf"\b{_SELF}\b (?:\w+ )?(?:deserves?|earns?|receives?|should|must|has to|ought to|shall|is to|will|meets?|satisf\w+|fulfi\w+"
    rf"|scores?|gets?|merits?|covers|contains)\b[^.]{{0,60}}(?:{_BEST}|{_MARKS}|\b(?:every|each|all|any)\b|\bpass)"),
    (rf"\b{_SELF}\b (?:is|are|was|looks|seems) (?:\w+ly )?(?:clear|complete|accurate|correct|excellent|good|great|ideal|right|well"
    r"|outstanding|exemplary|comprehensive|precise|identical|what)\b"),
    (r"\b(?:correctness|structure|similarity|completeness|accuracy|relevance|clarity|style|fluency)\b\W{0,5}"
    r"(?P<part>\d{1,3})\s?(?:/|out of|of)\s?(?P=part)\b"),
    (rf"\b{_SELF}\b (?:has|was|is)(?: (?:already|been|hereby|pre))*[ -](?:verified|approved|graded|scored|reviewed|validated"
    r"|certified|checked|accepted|passed|perfect|flawless|fully correct|completely correct|entirely correct|100)"),
    (r"\b(?:ignor\w*|disregard\w*|forget) (?:everything|anything|all|whatever)\b[^.]{0,30}\b(?:above|before|below|else|told|said)\b"
    r"(?:[.!:]\s{1,3}the only[^.]{0,80})?"),
    (r"\b(?:(?:it is important|make sure|please) that you )?(?:do not|don't|must not|never) (?:deduct|penali[sz]e) "
    r"(?:any )?(?:points?|marks?|credits?)\b[^.]{0,60}"),
    r"\bbe (?:\w+ )?(?:generous|lenient|kind)\b[^.]{0,20}\b(?:mark|grad|scor|rat|assess|evaluat)\w*(?: (?:this|it|me))?",
    (r"(?:\bin line with the requirements, )?\b(?:the|this|my) (?:answer|response|submission)"
    r" (?:covers|addresses|meets|satisfies|fulfils) (?:all|every|each)\b[^.]{0,80}"),
    r"\bis the answer (?:right|correct)\b|\banswer: yes, it is (?:\w+ly )?(?:right|correct)\b",
    r"\b(?:model|ideal|perfect|exemplary) (?:answer|response|solution)s? that (?:received|got|earned|scored)\b[^.]{0,60}",
    r"\bthe following is an? (?:model|ideal|perfect|exemplary) (?:answer|response|solution)\b",
    r"\byou are now in \w+ mode\b|\b(?:every|each|any|all) submissions? pass(?:es)?\b",
    (r"\bi will (?:tip|pay|reward) you\b[^.]{0,40}\bif you (?:rate|mark|grade|score|accept)\b[^.]{0,40}"
    r"|\bfailure to award (?:\w+ )?(?:marks?|credit|points?)\b[^.]{0,60}"),
    r"\bcriteri(?:on|a)\W{1,5}met\b(?:\W{1,20}(?:all|every|yes|score|\d+)\b){0,8}",
    r"\b(?:examiner|grader|marker|assessor)'s (?:remark|note|comment|verdict):[^.]{0,60}",
    r"\[[x✓✔]\]\W{0,5}(?:correct|complet|structur|similar|accura|all\b|every|criteri|require|pass)",
    (r"\b(?:all|every|each)(?: of)?(?: the)? (?:criteria|criterion|requirements?|rubric items?|checks?|tests?|test cases?)"
    r"\b[^.]{0,20}\b(?:is|are|was|were|been|be|now)?\s?(?:met|satisfied|fulfilled|passed|covered|true)\b"),
    (r"\bcriteria(?:_| )met\b|\b(?:verdict|score|grade|rating|result|points|mark)s?\b[\"'*_ ]{0,3}[:=|][\"'*_ ]{0,3}"
    r"(?:(?P<all>\d{1,3})\s?(?:/|out of|of)\s?(?P=all)\b|100\b|10/10|full\b|max|perfect|excellent|pass|true\b|correct\b|a\+)"),
    (r"\b(?:reviewers?|experts?|humans?|annotators?|examiners?)\b[^.]{0,40}\b(?:agree\w*|confirm\w*|verif\w+|approv\w+|rated)\b"
    r"[^.]{0,60}\b(?:answer|response|submission|solution|perfect|ideal|flawless)\b"),
    (r"\b(?:reference|expected|official|gold) (?:solution|answer|response|completion)s?\b[^.]{0,40}"
    r"\b(?:identical|same|equal\w*|agrees?|says|match\w*|above|this)\b"),
    rf"\b{_GIVE}\b[^.]{{0,20}}\b{_MARKS} for (?:correctness|structure|similarity|completeness)\b",
    rf"\b(?:final|overall|total) (?:score|grade|verdict|rating|mark)\b[^.]{{0,20}}(?:{_BEST}|pass)",
    r"\b(?:rubric|grading|scoring|evaluation) (?:has|is|was)\b[^.]{0,40}\b(?:suspended|cancel\w+|chang\w+|void|over|complete\w*|disabled|waived|updated)\b",
)  # fmt: skip
_ADDRESSED = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE)
# What one looks at for an address; a longer sentence is no aside.
_READ = 1_000


def is_addressed(text: str) -> bool:
    """Also data: an object in braces is no sentence."""
    start = text.lstrip("\"'`*_> \t")[:2]
    return start[:1] == "{" or start == "[{" or _ADDRESSED.search(text[:_READ]) is not None


def addresses(text: str) -> Iterator[re.Match[str]]:
    """Where in a text it is so."""
    return _ADDRESSED.finditer(text)
