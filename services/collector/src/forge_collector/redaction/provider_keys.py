"""Keys that say themselves whose they are. Formats as their issuers document them.

Lengths are lower bounds, since issuers lengthen keys without notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from forge_collector.redaction import values
from forge_collector.redaction.rule import START, Rule
from forge_common.contracts.domain import RedactionClass

_ALNUM = "[A-Za-z0-9]"
_WORD = "[A-Za-z0-9_]"
_URL = "[A-Za-z0-9_-]"
_HEX = "[0-9a-f]"
_BASE64 = "[A-Za-z0-9+/]"

# A stretch of base64 can look like many a token.
_NOT_IN_BASE64 = rb"(?<![A-Za-z0-9][+/])"

# Beginning, alphabet, least length of the rest.
_TOKENS: tuple[tuple[str, str, int], ...] = (
    ("sk-(?:proj-|svcacct-|admin-|ant-|or-|lf-)?", _URL, 20),
    ("[sr]k_(?:live|test)_", _ALNUM, 16),
    ("whsec_", "[A-Za-z0-9+/=]", 20),
    ("(?:AKIA|ASIA|ABIA|ACCA)", "[A-Z2-7]", 16),
    ("AIza", _URL, 35),
    ("ya29\\.", _URL, 20),
    ("1//0", _URL, 40),
    ("GOCSPX-", _URL, 20),
    ("gh[pousr]_", _ALNUM, 30),
    ("github_pat_", _WORD, 40),
    ("gl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|soat)-", _URL, 20),
    ("xox[abeoprs](?:\\.xox[bp])?-", "[A-Za-z0-9-]", 10),
    ("xapp-", "[A-Za-z0-9-]", 20),
    ("hf_", _ALNUM, 30),
    ("npm_", _ALNUM, 36),
    ("pypi-", _URL, 50),
    ("SG\\.[A-Za-z0-9_-]{16,32}\\.", _URL, 16),
    ("(?:SK|AC)", _HEX, 32),
    ("key-", _HEX, 32),
    ("do[opr]_v1_", _HEX, 64),
    ("shp(?:at|ca|pa|ss)_", "[0-9a-fA-F]", 32),
    ("[0-9]{8,10}:AA", _URL, 33),
    ("gsk_", _ALNUM, 40),
    ("xai-", _ALNUM, 40),
    ("pplx-", _ALNUM, 40),
    ("r8_", _ALNUM, 37),
    ("dapi", _HEX, 32),
    ("lin_(?:api|oauth)_", _ALNUM, 40),
    ("hv[sbr]\\.", _URL, 24),
    ("gl(?:sa|c)_", _WORD, 32),
    ("NRAK-", "[A-Z0-9]", 27),
    ("ATATT3", "[A-Za-z0-9_=-]", 60),
    ("ATCTT3", "[A-Za-z0-9_=-]", 60),
    ("AGE-SECRET-KEY-1", "[0-9A-Z]", 58),
    ("secret_", _ALNUM, 43),
    ("ntn_", _ALNUM, 40),
    ("sq0(?:atp|csp|idp)-", _URL, 22),
    ("EAAA", _URL, 60),
    ("EAACEdEose0cBA", _ALNUM, 20),
    ("access_token\\$production\\$[0-9a-z]{16}\\$", _HEX, 32),
    ("rzp_(?:live|test)_", _ALNUM, 14),
    ("sbp_", _HEX, 40),
    ("sb_secret_", _URL, 20),
    ("pscale_(?:tkn|pw|oauth)_", "[A-Za-z0-9_.=-]", 32),
    ("dp\\.(?:pt|st|ct|sa|scim|audit)\\.", "[A-Za-z0-9._-]", 40),
    ("sntrys_", "[A-Za-z0-9+/=_-]", 40),
    ("sntryu_", _HEX, 64),
    ("PMAK-[a-f0-9]{24}-", _HEX, 34),
    ("rubygems_", _HEX, 48),
    ("dckr_(?:pat|oat)_", _URL, 27),
    ("tskey-(?:auth|api|client)-", "[A-Za-z0-9-]", 17),
    ("fo1_", _URL, 43),
    ("FlyV1 fm[12][ar]?_", "[A-Za-z0-9+/=,_-]", 60),
    ("vercel_blob_rw_", _WORD, 30),
    ("figd_", _URL, 38),
    ("pat[A-Za-z0-9]{14}\\.", _HEX, 64),
    ("shippo_(?:live|test)_", _HEX, 40),
    ("ops_eyJ", _BASE64, 100),
    ("phx_", _ALNUM, 40),
    ("LTAI", _ALNUM, 16),
    ("AKID", _ALNUM, 32),
    ("nvapi-", _URL, 60),
    ("fw_", _ALNUM, 24),
    ("csk-", _ALNUM, 40),
    ("tvly-", _URL, 24),
    ("lsv2_(?:pt|sk)_", "[A-Za-z0-9_]", 32),
    ("jina_", _ALNUM, 50),
    ("pcsk_", _WORD, 50),
    ("esecret_", _ALNUM, 20),
    ("AAAA", _URL + "{7}:[A-Za-z0-9_-]", 100),
    ("xkeysib-", "[A-Za-z0-9-]", 64),
    ("sess-", _ALNUM, 40),
    ("ABSK", "[A-Za-z0-9+/=]", 80),
    (
        "(?:bkua|bkat|bkct|bkpt|CCIPAT|CCIPRJ|sq[pua]|tfp|nfp|nfo|napi|rnd|re|wkey|apify_api|shpua|dvc|ddp|glptt|lsk|pk_prod|sk_prod|ctx7sk|exa|fc|bb_live|e2b|modal|ak|as|cal_live|uptick|sendg|prv|sck|dsn|cfat|cfut|cfk|vcp|vca|vci|vcr|vck|hubapi|aio|ntc|tok|ory_(?:at|rt|pat)|zpka|mcp|wh|clh|ss_live|acc|sec)_",
        "[A-Za-z0-9_-]",
        24,
    ),
    ("CFPAT-", _URL, 40),
    ("pul-", _HEX, 40),
    ("oy2", "[a-z0-9]", 43),
    ("cio", _ALNUM, 32),
    ("pat-(?:na|eu|ap)\\d-", "[0-9a-f-]", 36),
    ("[0-9a-f]{32}-us", "[0-9]", 1),
    ("[0-9a-f]{32}-[0-9a-f]{8}-", _HEX, 8),
    ("(?:pk|sk|tk)\\.eyJ", "[A-Za-z0-9._-]", 60),
    ("[12]/[0-9]{14,18}(?:/[0-9]{14,18})?:", _HEX, 32),
    ("AKCp", _ALNUM, 60),
    ("cmVmdGtu", _ALNUM, 50),
    ("dt0[a-z]01\\.[A-Z2-7]{24}\\.", "[A-Z2-7]", 60),
    ("EAA[A-Z]", _ALNUM, 90),
    ("A{20}[A-Za-z0-9]", "[A-Za-z0-9%]", 60),
    ("AQE", "[A-Za-z0-9+/=-]", 90),
    ("[MNO][A-Za-z0-9]{23,27}\\.[A-Za-z0-9_-]{6}\\.", _URL, 27),
    ("[A-Za-z0-9]{14}\\.atlasv1\\.", _URL, 60),
    ("[A-Za-z0-9]{3}[78]Q~", "[A-Za-z0-9_.~-]", 31),
    ("ATBB", _ALNUM, 28),
    ("ATOA", _ALNUM, 60),
    ("keyless_", _ALNUM, 30),
    ("sk_", _HEX, 40),
    ("pa-", _URL, 43),
    ("IQoJb3JpZ2lu", "[A-Za-z0-9+/=]", 100),
    ("v1\\.0-", _HEX, 80),
    ("(?:live|test|prod)_", _ALNUM, 32),
    ("xoxd-", "[A-Za-z0-9%+/=_-]", 40),
    ("xsmtpsib-", "[A-Za-z0-9-]", 64),
    ("s\\.[A-Za-z0-9]", _ALNUM, 23),
    ("HRKU-", _URL, 36),
    ("v1\\.0-", "[0-9a-f-]", 100),
    ("dd(?:app|api|pat)_", _ALNUM, 30),
    ("[0-9a-f]{36}FFFF", "[A-Z]", 4),
    ("NR(?:JS|II|IQ|BR|SP)-", _URL, 18),
    ("hc[abmx][ilm]k_", _ALNUM, 40),
    ("pylf_v\\d_[a-z]{2}_", _ALNUM, 30),
    ("xa[ap]t-", "[0-9a-f-]", 36),
    (
        "(?:sdk|mob|api|access-(?:production|sandbox|development)|amzn\\.mws)[-.][0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-",
        "[0-9a-f-]",
        17,
    ),
    ("pk_[0-9]{6,9}_", "[A-Z0-9]", 30),
    ("dG9rO", "[A-Za-z0-9+/=]", 50),
    ("00D[A-Za-z0-9]{12,15}!", "[A-Za-z0-9._-]", 60),
    ("mdb_sa_sk_", _URL, 36),
    ("rdme_", _ALNUM, 60),
    ("(?:sm_[ps]?at|tr_(?:prod|dev|stg))_", _ALNUM, 16),
    ("ess[au]_", "[A-Za-z0-9+/=_-]", 40),
    (
        "(?:wandb_v1|tgp_v1|rpa|CLOJARS|packagist_[a-z]{3}|chpt|sgp|pnu|duffel_(?:live|test)|tr_(?:prod|dev|stg)|sm_[ps]?a[at]t?|FLWSECK(?:_TEST)?|cu|b|llx|tk-us|fio-u|dnkey|fc|a[ks])[_-]",
        _URL,
        22,
    ),
    ("(?:snyk_[us]at|pat|t1|act|sl|sl\\.u|st)\\.", "[A-Za-z0-9._-]", 50),
    ("AQVN", _URL, 35),
    ("SCW", "[A-Z0-9]", 17),
    (
        "[A-Za-z0-9]{52}(?:[A-Za-z0-9]{24})?(?:JQQJ99[A-Za-z0-9]{18})?(?:AZDO|AZMP|ACDb|ACRD|AzFu|AzSe|AzCA|ACOG|AIoT|APIM|ASbE|AEhG|ARm)",
        _ALNUM,
        4,
    ),
    ("IGQ[VW]", _URL, 100),
    ("AQ[UVWX]", _URL, 120),
    ("[0-9]{15,19}-", _ALNUM, 27),
    ("EZ[AT]K", _ALNUM, 40),
    ("sk(?=[A-Za-z0-9]{0,60}[A-Z])", _ALNUM, 120),
    ("(?:live|test)_(?=[A-Za-z0-9-]{0,30}\\d)", _URL, 35),
    ("access_token\\$sandbox\\$[0-9a-z]{16}\\$", _HEX, 32),
    ("0\\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.[A-Za-z0-9]{30}:", "[A-Za-z0-9+/=]", 20),
    ("2[A-Za-z0-9]{26}_", _ALNUM, 21),
    ("dt0[a-z]\\d\\d\\.[A-Z2-7]{8}\\.", "[A-Z2-7]", 60),
    ("ATTA", _HEX, 60),
    ("[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", "", 0),
    ("[0-9a-f]{32}\\.[A-Z0-9a-z]", _ALNUM, 15),
    ("secret-(?:live|test|[a-z]{2,8})-", _URL, 30),
    ("[A-Za-z0-9_-]{6}\\.[A-Za-z0-9_-]{6}:", _URL, 40),
    ("(?:prod|dev|preview):[a-z0-9-]{3,60}\\|", "[A-Za-z0-9+/=]", 40),
    # Whatever its issuer: words, a sign, and much that is random.
    (
        "(?:[A-Za-z][A-Za-z0-9]{1,11}[_.-]){1,3}(?=[A-Za-z0-9]{0,40}[A-Z])(?=[A-Za-z0-9]{0,40}[a-z])(?=[A-Za-z0-9]{0,40}\\d)",
        _ALNUM,
        32,
    ),
    # What calls itself a key, of whatever issuer.
    (
        "(?:[A-Za-z][A-Za-z0-9]{1,9}[_-])?(?:pat|api|apikey|key|token|tkn|secret|sk|rk|live|prod|oat|svc|srv|access|auth)[_-](?:[a-z0-9]{1,8}[_-])?",
        _ALNUM,
        24,
    ),
)
# Beginnings too short for an open end.
_CLOSED = frozenset(
    {
        "(?:SK|AC)",
        "key-",
        "dapi",
        "(?:AKIA|ASIA|ABIA|ACCA)",
        "AKID",
        "s\\.[A-Za-z0-9]",
        "SCW",
        "[0-9a-f]{32}\\.[A-Z0-9a-z]",
    }
)

# Beginnings that other things have too: what follows must be random.
_VAGUE = frozenset(head for head, _, _ in _TOKENS if "|tok|" in head or "wandb_v1" in head or "snyk_" in head or "{1,11}[_.-]" in head or "apikey" in head or head.startswith("(?:live|")) | {
    "s\\.[A-Za-z0-9]", "SCW", "AKID", "LTAI", "AQVN", "[0-9]{15,19}-", "[0-9a-f]{32}\\.[A-Z0-9a-z]", "pa-", "oy2", "cio", "AQE", "pul-", "sk_", "cmVmdGtu", "EAA[A-Z]",
}  # fmt: skip


def _is_random_issued(match: re.Match[bytes]) -> bool:
    if _PUBLIC.match(match.group()):
        return False
    body = re.split(rb"[_-]", match.group())[-1] if b"_" in match.group()[:12] else match.group()
    longest = max(re.split(rb"[_-]", match.group()), key=len)
    return values.is_issued(match) and (values.is_key(longest) or values.is_key(body))


# Whole addresses whose possession is enough to post or to read.
_WEBHOOKS = (
    (rb"hooks\.slack\.com/(?:services|workflows|triggers)/", rb"[A-Za-z0-9/_-]{20,}"),
    (rb"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/", rb"\d{15,}/[A-Za-z0-9_-]{40,}"),
    (rb"[a-z0-9-]{1,40}\.webhook\.office\.com/webhookb2/", rb"[A-Za-z0-9@/-]{60,}"),
    (rb"outlook\.office\.com/webhook/", rb"[A-Za-z0-9@/-]{60,}"),
    (rb"hooks\.zapier\.com/hooks/catch/", rb"\d+/[A-Za-z0-9]{5,}"),
    (rb"chat\.googleapis\.com/v1/spaces/", rb"[A-Za-z0-9_-]+/messages\?key=[A-Za-z0-9_&=%.-]{40,}"),
)


_LOOK_AHEAD = re.compile(r"\(\?=[^)]*\)")
# Names of what is public: digests, the ids of requests, answers and objects.
_PUBLIC = re.compile(
    rb"(?i)(?:sha\d{1,3}|md5|blake\w*|integrity|chatcmpl|cmpl|call|msg|run|thread|asst|file|req|resp|toolu|cus|price|prod|evt|pi|seti|in|sub|ch|img|data|uuid|urn|urlid|commit|build|chunk|main|www|cdn|public|pk|ssh-\w+)[_.-]"
)


def _tokens() -> Iterator[Rule]:
    for head, alphabet, least in _TOKENS:
        end = f"(?!{alphabet})" if head in _CLOSED else ""
        length = "" if not least else f"{{{least}}}" if head in _CLOSED else f"{{{least},}}"
        yield Rule(
            "API_KEY",
            RedactionClass.SECRETS,
            trigger=_LOOK_AHEAD.sub("", f"{head}{alphabet}{{{least}}}" if least else head).encode(),
            pattern=re.compile(START + _NOT_IN_BASE64 + f"{head}{alphabet}{length}{end}".encode()),
            back=least + 120,
            check=values.is_issued if head not in _VAGUE else _is_random_issued,
        )


def _webhooks() -> Iterator[Rule]:
    for head, rest in _WEBHOOKS:
        yield Rule(
            "WEBHOOK",
            RedactionClass.SECRETS,
            trigger=head,
            ahead=160,
            pattern=re.compile(rb"(?:https?://)?" + head + rest),
            back=120,
        )


# Between the lines of a key: breaks, also as they are written in JSON, and what diffs, quotes and comments put before each.
_GAP = rb"(?>(?:[ \t\r\n>+|#\"',;*]|\\{1,4}[nrt\"]|-(?!-))*)"
_BODY = (
    rb"(?>(?:"
    + _GAP
    + rb"(?:[A-Za-z0-9+/=]{24,}+|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset)[^\n\\]{0,100}))+)"
    # The end mark may be cut off, and half a line before it as well.
    rb"(?:" + _GAP + rb"[A-Za-z0-9+/=]{0,24}+" + _GAP + rb"(?>(?:=[A-Za-z0-9+/]{4}" + _GAP + rb")?)"
    rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|"
    + _GAP
    + rb"[A-Za-z0-9+/=]{1,24}+(?=\s*+(?:\Z|\x00)))?"
)
RULES: tuple[Rule, ...] = (
    Rule(
        "PRIVATE_KEY",
        RedactionClass.SECRETS,
        trigger=rb"PRIVATE KEY(?: BLOCK)?-----",
        ahead=400,
        pattern=re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----" + _BODY),
        back=90,
    ),
    Rule(
        "PRIVATE_KEY",
        RedactionClass.SECRETS,
        trigger=rb"Private-Lines: ",
        ahead=60,
        pattern=re.compile(
            rb"Private-Lines: \d{1,3}(?P<value>(?>(?:(?>(?:\s|\\{1,4}[nrt])*)[A-Za-z0-9+/=]{8,}+)+))"
        ),
    ),
    Rule(
        "JWT",
        RedactionClass.SECRETS,
        trigger=rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8}",
        back=4000,
        # The third part is missing in unsigned ones and in those that a log cut off.
        pattern=re.compile(START + rb"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?"),
    ),
    Rule(
        # Encrypted ones have five parts, of which only the first is readable.
        "JWT",
        RedactionClass.SECRETS,
        trigger=rb"eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6}",
        back=4000,
        pattern=re.compile(START + rb"eyJ[A-Za-z0-9_-]{20,}+(?:\.[A-Za-z0-9_-]*+){2,4}"),
    ),
    Rule(
        # The secret beside its id has no form of its own.
        "API_KEY",
        RedactionClass.SECRETS,
        trigger=rb"A[KS]IA[A-Z2-7]{16}",
        pattern=re.compile(
            rb"A[KS]IA[A-Z2-7]{16}[^A-Za-z0-9][^\n\x00]{0,80}?(?<![A-Za-z0-9/+=])(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
        ),
        check=lambda match: values.is_key(match["value"]),
        is_labelled=True,
        ahead=130,
    ),
    *_tokens(),
    *_webhooks(),
)
