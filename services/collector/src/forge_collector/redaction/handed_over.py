"""Secrets that no name stands before in an assignment: on command lines, in protocols, in hashes' forms, in what people say."""

from __future__ import annotations

import re
from collections.abc import Callable

from forge_collector.redaction import values
from forge_collector.redaction.rule import START, Rule
from forge_common.contracts.domain import RedactionClass


def _has_shape(value: bytes) -> bool:
    """A word and a number, or signs within: what nobody says in a sentence by chance."""
    return (
        values.is_bare_password(value)
        and not values.is_dotted_name(value)
        and (values.is_key(value) or (values.has_digit_and_letter(value) and len(value) >= 7))
    )


def _rule(
    kind: str,
    trigger: bytes,
    pattern: bytes,
    check: Callable[[bytes], bool] | None = None,
    *,
    back: int = 200,
    ahead: int = 120,
) -> Rule:
    return Rule(
        kind, RedactionClass.SECRETS, trigger=trigger, pattern=re.compile(pattern), back=back, ahead=ahead,
        check=None if check is None else lambda match: check(match["value"]), is_labelled=True,
    )  # fmt: skip


_COMMUNITIES = frozenset((b"public", b"private"))


_FUNCTION_WORDS = frozenset(
    b"the that this with should not and you your for must when from have will used long are was has but can all any they then than more each which sie und der die das nicht"
    b" what where how its our who does use one two into only also".split()
)


def _always(value: bytes) -> bool:
    return not values.is_reference(value)


def _is_random(value: bytes) -> bool:
    return values.is_key(value) and not values.is_dotted_name(value)


# Calls that are given who signs in, and with what.
_SIGNS_IN = (
    rb"(?:auth\w{0,20}|connect|login|logon|sign_?in|credentials?(?:\.new)?|networkcredential|(?:new |\b)pdo(?:->__construct)?|mysqli|getconnection|createconnection"
    rb"|ldap_bind|imap_open|passwordauthentication|usernamepassword\w{0,30})"
)
# Of a call's strings none that is a name, a host or a source of data.
_NO_ADDRESS = (
    rb"(?=[^\"'\s\\\x00]{0,119}\d)(?!\w{2,12}:(?:\w{1,20}[:;=]|//))(?![\w-]{1,40}(?:\.[\w-]{1,40}){1,5}(?::\d{1,5})?\\{0,3}[\"'])"
    rb"(?![\w-]{1,40}:\d{1,5}\\{0,3}[\"'])"
)
_SYSTEMS = rb"(?:vpn|nas|router|modem|wlan|wi-?fi|ftps?|sftp|ssh|rdp|vnc|admin|root|portal|server|database|mailbox|cpanel|wordpress|jira|intranet)"
_DASH = rb"(?:\xe2\x80[\x93\x94]|\\{1,4}u201[34]|--?)"
_TAB = rb"(?:\t|\\{1,4}t)"


_ARG = rb"(?P<quote>['\"]?)(?P<value>[^\s\"'\\$\x00<>|-][^\s\"'\\\x00<>|]{5,200})(?P=quote)"

RULES: tuple[Rule, ...] = (
    # `user / password`, `login: user:password`.
    _rule(
        "PASSWORD",
        rb"(?i)(?:login|credentials?|creds|account|zugang|zugangsdaten|access|anmeldung)[^\n]{0,30}[\w.@-]{2,40} ?[/:|] ?[^\s\"'`]{6}",
        rb"(?i)\b(?:login|credentials?|creds|account|zugang|zugangsdaten|access|anmeldung)(?: (?:is|are|ist|data|for [\w-]{1,20}))?[ :=]{1,3}[`\"']?"
        rb"[\w.@-]{2,40} ?[/:|] ?(?P<value>[^\s\"'`\\\x00,;<>()/]{6,80})",
        _has_shape,
    ),
    # Short codes: only right behind what they are called.
    _rule(
        "CODE",
        rb"(?i)(?:\bpin|\bm?tan\b|(?:verification|security|confirmation|login|sign-in|one-time|2fa|best\xc3\xa4tigungs|sicherheits) ?code|one-time password|code de (?:v|s)|c\xc3\xb3digo de (?:v|s)|\botp|cvc|cvv|passcode)[^\n\d]{0,50}\d{3}",
        rb"(?i)(?:\bPIN(?:[ -]?code)?|\bTAN|\bm?TAN|verification code|security code|one-time (?:code|password)|confirmation code|login code|sign-in code|2fa code|otp(?: code)?|passcode"
        rb"|best\xc3\xa4tigungscode|sicherheitscode|code de (?:v\xc3\xa9rification|s\xc3\xa9curit\xc3\xa9)|c\xc3\xb3digo de (?:verificaci\xc3\xb3n|seguridad)|cvc2?|cvv2?)\\{0,3}[\"']?"
        rb"(?:\s[a-z]{1,10}){0,4}?(?:\s(?:is|ist|lautet|est|es|:)|\s?[:=])\s{0,2}\\{0,3}[\"']?(?P<value>\d{3}[ -]?\d{0,5})(?!\w|\.\d)",
        lambda value: len(set(value)) > 1 and value not in b"1234567890",
    ),
    _rule(
        "CODE",
        rb"(?i)(?:\bpin|(?:door|gate|alarm|safe|entry|access|lock|verification|confirmation|security|login|sms|auth\w{0,12}) code|\xe9\xaa\x8c\xe8\xaf\x81\xe7\xa0\x81|\xd0\xbf\xd0\xbe\xd0\xb4\xd1\x82\xd0\xb2\xd0\xb5\xd1\x80\xd0\xb6\xd0\xb4\xd0\xb5\xd0\xbd\xd0\xb8\xd1\x8f|\buse|\bcode:)[^\n\d]{0,24}\d{4}",
        rb"(?i)(?:\bPIN(?-i:(?<=PIN))|(?:door|gate|alarm|safe|entry|access|lock|verification|confirmation|security|login|sms|auth\w{0,12}) code|\xe9\xaa\x8c\xe8\xaf\x81\xe7\xa0\x81|\xd0\xbf\xd0\xbe\xd0\xb4\xd1\x82\xd0\xb2\xd0\xb5\xd1\x80\xd0\xb6\xd0\xb4\xd0\xb5\xd0\xbd\xd0\xb8\xd1\x8f)"
        rb"(?:\s(?:is|ist|est|es|now|for [a-z ]{2,20}))*(?:\s|:|\xef\xbc\x9a|=){1,3}(?P<value>\d{4,8})(?![\w-]|\.\d)",
        lambda value: len(set(value)) > 1,
    ),
    _rule(
        "CODE",
        rb"(?i)\buse \d{4,8} to (?:sign|log|verify|confirm)|\bcode: \d{4,8}\b[^\n]{0,30}share",
        rb"(?i)(?:\buse|\bcode:) (?P<value>\d{4,8}) ?(?:to (?:sign|log|verify|confirm)|\.? [^\n\x00]{0,20}share)",
    ),
    # Groups that only keys of products, disks and access points have.
    _rule(
        "LICENCE_KEY",
        rb"-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}|-\d{6}-\d{6}-\d{6}|-[A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4}",
        rb"(?<![\w-])(?P<value>(?=[A-Z0-9-]{0,28}\d)(?=[A-Z0-9-]{0,28}[A-Z])[A-Z0-9]{5}(?:-[A-Z0-9]{5}){4}|\d{6}(?:-\d{6}){7}|(?=[A-Z0-9-]{0,28}[A-Z])[A-Z0-9]{4}(?:-[A-Z0-9]{4}){5})(?![\w-])",
    ),
    _rule(
        "PASSWORD",
        rb"(?i)(?:wlan|wi-?fi|wpa\d?|psk|pre-?shared)[^\n]{0,50}\d{4}-?\d{4}-?\d{4}",
        rb"(?i)(?:wlan|wi-?fi|wpa\d?|psk|pre-?shared)[^\n\x00]{0,50}?(?<![\w-])(?P<value>\d{4}(?:-\d{4}){2,5}|\d{12,24})(?![\w-])",
    ),
    _rule(
        "PRIVATE_KEY",
        rb"[5KL][1-9A-HJ-NP-Za-km-z]{50}|nsec1[a-z0-9]{50}|[xyzt]prv[A-Za-z0-9]{80}",
        rb"(?<![A-Za-z0-9])(?P<value>[5KL][1-9A-HJ-NP-Za-km-z]{50,51}|nsec1[a-z0-9]{50,60}|[xyzt]prv[A-Za-z0-9]{80,110})(?![A-Za-z0-9])",
        values.is_key,
        back=160,
    ),
    _rule(
        "PRIVATE_KEY",
        rb"\[\s?(?:\d{1,3},\s?){6}",
        rb"\[\s?(?P<value>(?:\d{1,3},\s?){31}(?:(?:\d{1,3},\s?){32})?\d{1,3})\s?\]",
        lambda value: max(map(int, re.findall(rb"\d+", value))) <= 255 and len(set(value.split(b","))) > 20,
        back=420,
        ahead=420,
    ),
    _rule(
        "PRIVATE_KEY",
        rb"BEGIN OpenVPN Static key",
        rb"-----BEGIN OpenVPN Static key V\d-----(?>(?:(?>(?:\s|\\{1,4}[nrt]|[+>#])*)[0-9a-f]{16,})+)(?:(?>(?:\s|\\{1,4}[nrt]|[+>#])*)-----END OpenVPN Static key V\d-----)?",
        ahead=400,
    ),
    # Links whose possession is enough.
    _rule(
        "TOKEN",
        rb"(?i)(?:/v\d|auth|magic|login|signin|verify|confirm|reset|invite|token|private|secret|hooks?|webhooks?|unsubscribe|ical|feed|share|join|activate)[/=-][A-Za-z0-9_-]{20}",
        rb"(?i)://[^\s\"'<>\x00]{4,120}?(?:/v\d|auth|magic|login|signin|verify|confirm|reset|invite|token|private|secret|hooks?|webhooks?|unsubscribe|ical|feed|share|join|activate)[/=-](?P<value>[A-Za-z0-9_-]{20,}+)",
        _is_random,
    ),
    # Phrases of words, wherever they are said to be one.
    _rule(
        "SEED_PHRASE",
        rb"(?i)(?:phrase|mnemonic|wallet words)[^\n.]{0,40}(?: is|are|[:=])",
        rb"(?i:(?:phrase|mnemonic|words)[^\n.:\x00]{0,40}?(?: is| are|[:=]))(?:\s|\\{1,4}[n\"]|[\"'`:]|\xe2\x80.){1,6}(?P<value>(?:[a-z]{3,10} ){3,23}[a-z]{3,10})(?=[\"'`.,\n\x00\\]|\xe2\x80|\Z)",
        lambda value: not _FUNCTION_WORDS & set(value.split()),
        ahead=300,
    ),
    _rule(
        "PASSWORD",
        rb"(?i)(?:pass|kennwort)[^\n]{0,40}[a-z]{4} [a-z]{4} [a-z]{4} [a-z]{4}",
        rb"(?i:(?:app[- ]?(?:specific )?pass(?:word|wort)|pass(?:word|wort|wd)?)[^\n:=\x00]{0,40}[:=]\s{0,2}\\{0,3}[\"']?)(?P<value>[a-z]{4} [a-z]{4} [a-z]{4} [a-z]{4})(?=[\"'.,;\n\x00\\]|\Z)",
        lambda value: not _FUNCTION_WORDS & set(value.split()),
    ),
    _rule(
        "RECOVERY_CODE",
        rb"(?i)(?:backup|recovery) codes?",
        rb"(?i)(?:backup|recovery) codes?[^\x00]{0,160}?(?P<value>(?:(?>(?:\s|\\{1,4}[nrt]|[+])*)(?:\d{1,2}\. )?\d{4} \d{4}(?!\d)){2,20})",
        ahead=500,
    ),
    # Lists of names and passwords.
    _rule(
        "PASSWORD",
        rb"\xe2\x86\x92 [A-Za-z0-9]",
        rb"(?:\n\+?|\\n|\A)[A-Z][a-z]{1,20} (?:\xe2\x86\x92|->) (?P<value>[^\s\"'`<>()\\\x00]{7,60})(?=\s|\\|\Z)",
        lambda value: _has_shape(value) or values.is_long_password(value) or values.is_last_password(value),
    ),
    _rule(
        "PASSWORD",
        rb"chpasswd",
        rb"(?:\n[ +]{0,12}|\\n[ +]{0,12})[a-z_-]{2,16}:(?P<value>(?=[A-Za-z0-9]{0,30}[A-Z])(?=[A-Za-z0-9]{0,30}[a-z])[A-Za-z0-9]{12,40})(?=\s|\\|\Z)",
        values.is_key,
    ),
    _rule(
        "PASSWORD",
        rb"(?:/rp |ssh-keygen [^\n]{0,60}-N ['\"]?|add_user [\w.-]{1,40} |change_password [\w.-]{1,40} |login [\w.-]{1,40} with )[^\s]{6}",
        rb"(?:/rp |ssh-keygen [^\n\x00]{0,60}?-N ['\"]?|add_user [\w.-]{1,40} |change_password [\w.-]{1,40} |login [\w.-]{1,40} with )(?P<value>[^\s\"'`\\\x00,]{6,80})",
        values.is_last_password,
    ),
    # Private parts of JSON Web Keys.
    _rule(
        "PRIVATE_KEY",
        rb"\"(?:d|k|p|q|dp|dq|qi)\\{0,3}\"\s?:\s?\\{0,3}\"[\w-]{24}",
        rb"\"(?:d|k|p|q|dp|dq|qi)\\{0,3}\"\s?:\s?\\{0,3}\"(?P<value>[\w-]{24,}+)",
        values.is_key,
    ),
    # A name and a password at the end of a line: `root / …`, `admin:…`.
    _rule(
        "PASSWORD",
        rb"(?:root|admin|user|login|guest)\w{0,12}(?: ?/ |:)[^\s]",
        rb"(?<![\w/.-])(?:root|admin\w{0,12}|user\w{0,6}|login|guest|test|[a-z]{2,10}(?=:))(?: ?/ |:)(?P<value>[^\s/:\"'`<>(){}\[\],;=\\\x00]{7,60})(?=[ \t]{0,4}(?:[\r\n\x00]|\\|\Z))",
        lambda value: (_has_shape(value) and re.search(rb"[!#$%^&*?~]", value) is not None),
    ),
    _rule(
        "PASSWORD",
        rb"(?i)(?:root|admin\w{0,12}) / [^\s/]{8}",
        rb"(?i)(?<![\w/.-])(?:root|admin\w{0,12}) / (?P<value>[^\s/:\"'`<>(){}\[\],;=\\\x00]{8,60})",
        values.is_long_password,
    ),
    # What is used as one: `… as token`.
    _rule(
        "TOKEN",
        rb"(?i) (?:as (?:the |my |a )?|is (?:the|my|a|our) )(?:[a-z]{2,8} )?(?:api[ -]?key|token|secret|key|credential)",
        rb"(?i)(?<![\w-])(?P<value>[\w.-]{16,200})[\"'`]? (?:as (?:the |my |a )?|is (?:the|my|a|our) )(?:[a-z]{2,8} )?(?:api[ -]?key|token|secret|key|credential)",
        _is_random,
    ),
    # `name:password@host` without a scheme.
    _rule(
        "PASSWORD",
        rb"[A-Za-z0-9._%+-]@[A-Za-z0-9][A-Za-z0-9.-]{0,80}\.[A-Za-z]{2}",
        rb"(?<![\w/:.-])[\w.-]{2,40}:(?P<value>[^\s:/@\"'<>\\\x00]{6,80})@[\w-]{1,60}\.[a-z]",
        _has_shape,
    ),
    # Recovery codes: a list below its title.
    _rule(
        "RECOVERY_CODE",
        rb"(?i)(?:recovery|backup|wiederherstellungs|scratch|secours|recuperaci)[^\n]{0,40}(?:codes?|keys?)?[^\n]{0,40}[\s\w][0-9A-Za-z]{4,5}[ -][0-9A-Za-z]{4}",
        rb"(?i)(?:recovery|backup|scratch|emergency)[ -](?:codes?|keys?)[^\n\x00]{0,40}?[:\n](?P<value>(?>(?:(?>(?:\s|\\{1,4}[nrt]|[+*>,`]|- |\d{1,2}[.)] )*)[0-9a-z]{4,8}(?>(?:-[0-9a-z]{4,8}){1,7})(?![\w-]))+))",
        None,
        ahead=300,
    ),
    _rule(
        "RECOVERY_CODE",
        rb"(?i)(?:recovery|backup|scratch|emergency)[ -](?:codes?|keys?)",
        rb"(?i)(?:recovery|backup|scratch|emergency)[ -](?:codes?|keys?)[^\n\x00\\]{0,40}?(?::|\\{1,4}n|\n)(?P<value>(?>(?:(?>(?:\s|\\{1,4}[nrt]|[+*>,`]|- |\d{1,2}[.)] )*)(?=[a-z-]*\d|[0-9]*[A-Za-z])[0-9a-z]{4,8}(?>(?:-[0-9a-z]{4,8}){0,7})(?=[\s\\,`]|\Z))+))",
        lambda value: len(re.findall(rb"\d", value)) >= 3,
        ahead=400,
    ),
    # Mnemonics of wallets.
    _rule(
        "SEED_PHRASE",
        rb"(?i)(?:seed|mnemonic|recovery|wallet|secret)[ _-]?(?:phrase|words|seed)?[^\n]{0,30}",
        rb"(?i)(?:seed|mnemonic|recovery|backup)(?:[ _-]?(?:phrase|words))?\\{0,3}[\"']?(?: is)?\s{0,2}[:=]\s{0,2}\\{0,3}[\"']?(?P<value>(?:[a-z]{3,8} ){11,23}[a-z]{3,8})(?![a-z])",
        None,
        ahead=260,
    ),
    # Passphrases of several words, in quotes behind their names.
    _rule(
        "PASSWORD",
        rb"(?i)(?:psk|passphrase|password|passwort)[^\n]{0,6}[\"'][a-z]+ [a-z]+ [a-z]",
        rb"(?i)(?:psk|passphrase|password|passwort)\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}(?P<quote>\\{0,3}[\"'])(?P<value>[a-z0-9]{3,14}(?: [a-z0-9]{3,14}){3,9})(?P=quote)",
        None,
    ),
    # App passwords: four groups of four letters.
    _rule(
        "PASSWORD",
        rb"(?i)app[- ](?:specific )?password[^\n]{0,40}[a-z]{4}[ -][a-z]{4}[ -]",
        rb"(?i)app[- ](?:specific )?password[^\n:=\x00]{0,40}[:=]?\s{0,2}(?P<value>[a-z]{4}(?P<sign>[ -])[a-z]{4}(?P=sign)[a-z]{4}(?P=sign)[a-z]{4})\b",
        None,
    ),
    # Base32 of an authenticator.
    _rule(
        "TOTP",
        rb"(?i)(?:2fa|totp|otp|mfa|authenticator|setup key|secret key|manual)[^\n]{0,40}[A-Z2-7]{16}",
        rb"(?i:2fa|totp|otp|mfa|authenticator|setup key|secret key|manual)[^\n\x00]{0,40}?(?<![A-Za-z0-9])(?P<value>(?:[A-Z2-7]{4} ?){4,16})(?![A-Za-z0-9])",
        lambda value: re.search(rb"[2-7]", value) is not None,
    ),
    # Wi-Fi as its QR code has it.
    _rule("PASSWORD", rb"WIFI:[^\n]{0,80}P:[^\n;]", rb"WIFI:[^\n\x00]{0,80}?\bP:(?P<value>[^;\n\x00]{5,80});", _always),
    # Password hashes are their passwords to whoever has a graphics card.
    _rule(
        "PASSWORD_HASH",
        rb"\$(?:2[abxy]|5|6|7|8|9|y|1|apr1|argon2(?:id|i|d)?|scrypt|pbkdf2)\$[\w./$=,+-]{8}",
        rb"(?P<value>\$(?:2[abxy]|5|6|7|8|9|y|1|apr1|argon2(?:id|i|d)?|scrypt|pbkdf2[\w-]{0,12})\$[A-Za-z0-9./$=,+-]{20,}+)",
        None,
        ahead=60,
    ),
    _rule(
        "PASSWORD_HASH",
        rb"(?:pbkdf2_sha\d+|\{S?SHA(?:256|512)?\}|\{PBKDF2\}|SCRAM-SHA-256)\$?[\w+/=$]{8}",
        rb"(?P<value>(?:pbkdf2_sha\d+|\{S?SHA(?:256|512)?\}|\{PBKDF2\}|SCRAM-SHA-256)\$?[A-Za-z0-9+/=$:]{20,}+)",
        None,
        ahead=60,
    ),
    # Command lines.
    _rule(
        "PASSWORD",
        rb"(?:sshpass|redis-cli|mysql|mariadb|mysqldump|mysqladmin|7za?|zip|rar|mongosh|mongodump|mongorestore|ldapsearch|ldapadd|xfreerdp|rdesktop|cmdkey|sqlcmd|bcp|psexec|ipmitool)(?:\.exe)? [^\n]{0,120} (?:-[apPw] ?|/p(?:ass)?:|-pass(?:word)? )['\"]?[^\s\"'$<>|-]",
        START + rb"(?:sshpass|redis-cli|mysql|mariadb|mysqldump|mysqladmin|7za?|zip|unzip|rar|unrar|mongosh|mongodump|mongorestore|ldapsearch|ldapadd|xfreerdp|rdesktop|cmdkey|sqlcmd|bcp|psexec|ipmitool)(?:\.exe)?"
        rb"(?=[ ])[^\n\x00|]{0,120}? (?:-[apPw] ?|/p(?:ass)?:|/pass:|-pass(?:word)? )" + _ARG,
        _has_shape,
    ),
    _rule(
        "PASSWORD",
        rb"(?:net use [^\n]{1,80}/user:[^\s]{1,60} |htpasswd -\w{0,8}b|(?:sqlplus|impdp|expdp|sqlldr|\bexp|\bimp)(?: -\w{1,12}){0,4} [\w.-]{1,40}/|[ \n]-U ?['\"]?[\w.\\/@-]{1,60}%[^\s]{5})",
        START + rb"(?:net use [^\n\x00]{1,80}?/user:[^\s\x00]{1,60} |htpasswd -\w*b\w* [^\s\x00]{1,80} [^\s\x00]{1,60} |(?:sqlplus|impdp|expdp|sqlldr|exp|imp)(?: -\w{1,12}){0,4} [\w.-]{1,40}/)"
        rb"['\"]?(?P<value>[^\s\"'\\$\x00@/]{5,80})",
        _always,
        ahead=200,
    ),
    _rule(
        "PASSWORD",
        rb"jdbc:oracle:(?:thin|oci):[\w.-]{1,60}/[^\s@]{3}",
        rb"jdbc:oracle:(?:thin|oci):[\w.-]{1,60}/(?P<value>[^\s@\"'\\\x00]{3,80})@",
        _always,
    ),
    _rule(
        "PASSWORD",
        rb"(?:echo|printf|<<<) ?[^\n]{4,120}(?:sudo -S|password-stdin|--stdin|chpasswd|with-token|passwd)",
        rb"(?:echo|printf|<<<)(?: -\w+)? ?\\{0,3}['\"]?(?:[\w.-]{1,40}:)?(?P<value>[^\s\"'$\\\x00|]{6,200})\\{0,3}['\"]?\s?\|\s?[^\n\x00|]{0,80}?(?:sudo (?:-\w+ )*-S|-stdin|chpasswd|with-token|passwd)",
        _always,
    ),
    _rule(
        "PASSWORD",
        rb"(?i)(?:(?:store|key|bind|trust|src|dest|admin|root)-?pass(?:wd|word)?|bindpw|rootpw|passin|passout|--?pass)[ =:]{1,3}['\"]?[^\s\"'$]{5}",
        rb"(?i)(?:(?:store|key|bind|trust|src|dest|admin|root)-?pass(?:wd|word)?|bindpw|rootpw|--?pass)[ =:]{1,3}(?:pass:)?\\{0,3}['\"]?(?P<value>[^\s\"'$\\\x00<>(){}]{6,200})",
        values.is_password,
    ),
    # Protocols that say it aloud.
    _rule(
        "PASSWORD",
        rb"(?:PASS|AUTH PLAIN|AUTH|IDENTIFY|LOGIN \S{1,60}) [^\s\"']{6}",
        rb"(?:(?<=[\n\x00> :+])|\A|(?<=\\n))(?:PASS|AUTH(?: (?:PLAIN|LOGIN|XOAUTH2))?|LOGIN [^\s\x00]{1,60}) (?P<value>[^\s\"'\\\x00<>(){}$]{6,400})(?=\s|\\|\Z|\x00)",
        lambda value: values.is_bare_password(value) or values.is_key(value),
    ),
    # A user and a password in a call: the second string of two, where the call's name says what it is for.
    _rule(
        "PASSWORD",
        rb"(?i)" + _SIGNS_IN + rb"\([^\n]{0,160}[\"'][^\"'\s]{8}",
        rb"(?i)" + _SIGNS_IN + rb"\([^()\n\x00]{0,160}?(?:Some\()?\\{0,3}[\"']" + _NO_ADDRESS + rb"(?P<value>[^\"'\s\\\x00]{8,120})\\{0,3}[\"']\)?\s{0,2}(?=[,)]|\Z)",
        _has_shape,
        back=340,
    ),
    _rule(
        "PASSWORD",
        rb"(?i)(?:user_?pwd|userpass|basic_?auth|--user|-u)\W{1,6}[\w.@+-]{1,60}:[^\s\"'$]{6}",
        rb"(?i)(?:user_?pwd|userpass|basic_?auth)\W{1,6}[\w.@+-]{1,60}:(?P<value>[^\s\"'$\\\x00,]{6,120})",
        _always,
    ),
    _rule(
        "SECRET",
        rb"(?i)apikeys?>[^\n]{0,20}<add key=[^\n]{1,160}value=\\{0,3}\"[^\"]{12}",
        rb"(?i)apikeys?>[^\n\x00]{0,20}<add key=[^\n\x00]{1,160}?value=\\{0,3}\"(?P<value>[^\"\\]{12,200})",
        _is_random,
        back=260,
    ),
    # Query parameters and headers that only a random value makes telling.
    _rule(
        "TOKEN",
        rb"(?i)[?&;](?:[\w.-]{0,24}(?:key|token|secret|sig|hash|auth|sid|appid|app_id|pass|pwd|jwt|code|session|credential)[\w.-]{0,12})=[A-Za-z0-9%._~+/-]{12}",
        rb"(?i)(?:[?&;]|\\u0026)(?:[\w.-]{0,24}?(?:key|token|secret|sig|auth|sid|appid|app_id|pass|pwd|jwt|session|credential)[\w.-]{0,12})=(?P<value>[A-Za-z0-9%._~+/=-]{12,}+)",
        _is_random,
    ),
    _rule(
        "TOKEN",
        rb"(?i)(?:infura\.io/v3|alchemy\.com/v2|quiknode\.pro|/bot\d{8,10}:|webhook[\w.-]{0,30}/[\w./-]{0,60})[/\w-]{12}",
        rb"(?i)(?:infura\.io/(?:ws/)?v3/|alchemy\.com/v2/|quiknode\.pro/|/bot(?=\d{8,10}:))(?P<value>[\w:-]{20,}+)",
        None,
        ahead=80,
    ),
    # Schemes of the header that are not Bearer's, with what they sign.
    _rule(
        "TOKEN",
        rb"(?i)\b(?:token|apikey|ssws|geniekey|bot|signature|response|token token=)[ =]\\{0,3}[\"']?[A-Za-z0-9._~+/-]{24}",
        rb"(?i)(?:[\"' ,:@]|\A|(?<=\n))(?:token|apikey|ssws|geniekey|bot|signature|response|token token=)[ =]\\{0,3}[\"']?(?P<value>[A-Za-z0-9._~+/-]{24,}+={0,2})",
        _is_random,
    ),
    # A name that ends in key, salt or hash of something, whatever comes before; not what identifies rows and caches.
    _rule(
        "SECRET",
        rb"(?i)[a-z][_-]?(?:key|salt|pepper|seed|passphrase|passcode|credentials?)\\{0,3}[\"'\]]{0,2}\s{0,8}(?:=>|[:=,(])\s{0,4}\\{0,3}[\"'`]?[A-Za-z0-9+/_=.~-]{16}",
        rb"(?i)(?<![a-z])(?!\w{0,30}(?:public|cache|primary|foreign|partition|sort|row|index|idempot|object|registry|integrity|site)\w{0,8}key)"
        rb"\w{0,30}?(?:(?<=[_-])|(?-i:(?<=[a-z])(?=[KSP])))(?:key|salt|pepper|credentials?)\\{0,3}[\"'\]]{0,2}\s{0,8}(?:=>|[:=,(])\s{0,4}\\{0,3}[\"'`]?(?P<value>[A-Za-z0-9+/_.~-]{16,}+={0,2})",
        _is_random,
    ),
    _rule(
        "SECRET",
        rb"(?i)(?:accounts|private|wallet)[^\n]{0,24}0x[0-9a-f]{64}",
        rb"(?i)(?:accounts|private|wallet)[^\n\x00]{0,24}?(?P<value>0x[0-9a-f]{64})(?![0-9a-f])",
        None,
        ahead=30,
    ),
    _rule("TOKEN", rb"A{20}[A-Za-z0-9%]{40}", rb"(?<![A-Za-z0-9+/])A{20,22}[A-Za-z0-9]{8,50}%[A-Za-z0-9%]{30,120}", None, ahead=120),
    # `-U name%password`, as Samba's tools have it.
    _rule(
        "PASSWORD",
        rb"[ \n]-U ?['\"]?[\w.\\/@-]{1,60}%[^\s\"'%]{5}",
        rb"(?<=[ \n])-U ?['\"]?[\w.\\/@-]{1,60}%(?P<value>[^\s\"'\\$\x00@/%]{5,80})",
        _always,
    ),
    _rule(
        "PASSWORD",
        rb"openssl [^\n]{0,120} -[kK] ['\"]?[^\s\"'$]{6}",
        START + rb"openssl (?=[a-z])[^\n\x00|]{0,120}? -[kK] " + _ARG,
        _has_shape,
    ),
    # Router's and switches' configuration.
    _rule(
        "PASSWORD",
        rb"(?:snmp-server community|r[ow]community6?|(?:tacacs|radius)-server [^\n]{0,80}key|key-string)(?: \d)? [^\s]{5}",
        rb"(?:snmp-server community|r[ow]community6?|(?:tacacs|radius)-server [^\n\x00]{0,80}?\bkey|key-string)(?: \d)? (?P<value>[^\s\\\"'\x00]{5,80})",
        lambda value: value.lower() not in _COMMUNITIES,
    ),
    # `[relay]:587 name:password`, as mail servers look it up.
    _rule(
        "PASSWORD",
        rb"[\w\]]:\d{2,5}[ \t]{1,8}[\w.@+-]{1,60}:[^\s\"'/]{6}",
        rb"[\w\]]:\d{2,5}[ \t]{1,8}[\w.@+-]{1,60}:(?P<value>[^\s\"'/\\\x00]{6,100})",
        values.is_password,
    ),
    # Cookies as curl and browsers keep them.
    _rule(
        "SESSION",
        rb"(?:TRUE|FALSE)" + _TAB + rb"\d{1,12}" + _TAB + rb"[\w.%-]{1,80}" + _TAB,
        rb"(?:TRUE|FALSE)" + _TAB + rb"\d{1,12}" + _TAB + rb"[\w.%-]{1,80}" + _TAB + rb"(?P<value>[^\s\"\\\x00]{10,}+)",
        lambda value: len(value) >= 16 or values.is_key(value),
    ),
    # Strings that become arrays of characters: Java's way to hand over a password.
    _rule(
        "PASSWORD",
        rb"\\{0,3}\"\.toCharArray",
        rb"\"(?P<value>[^\"\s\\\x00]{6,100})\\{0,3}\"\.toCharArray",
        values.is_password,
    ),
    # The value first: `use … as the password`, `… is your code`.
    _rule(
        "PASSWORD",
        rb"(?i) (?:as|is|als|ist|comme|como) (?:the|your|my|our|a|das|dein|ihr|le|la|el) [a-z -]{0,30}(?:password|passwort|kennwort|passphrase|passcode|mot de passe)",
        rb"(?i)(?<![^\s\"'`*(])[\"'`*]{0,2}(?P<value>[^\s\"'`*()<>\\\x00]{6,80})[\"'`*]{0,2} (?:as|is|als|ist|comme|como) (?:the|your|my|our|a|das|dein|ihr|le|la|el) [a-z -]{0,30}(?:password|passwort|kennwort|passphrase|passcode|mot de passe)",
        _has_shape,
    ),
    _rule(
        "CODE",
        rb"(?i)\d (?:is|ist|est|es|\xc3\xa8) (?:your|the|ihr|dein|votre|ton|su|tu|il tuo) [\w -]{0,40}(?:code|\botp|\bpin|\btan|c\xc3\xb3digo|codice)",
        rb"(?i)(?<![\w.])(?:[A-Z]{1,4}-)?(?P<value>\d{3}[ -]?\d{1,5}) (?:is|ist|est|es|\xc3\xa8) (?:your|the|ihr|dein|votre|ton|su|tu|il tuo) [\w -]{0,40}(?:code|\botp|\bpin|\btan|c\xc3\xb3digo|codice)",
    ),
    # Notes: what it is for, perhaps a name, and the password at the end of the line.
    _rule(
        "PASSWORD",
        rb"(?i)\b" + _SYSTEMS + rb"(?: [a-z]{2,12})?(?::? ?[\w.@-]{2,40} / | " + _DASH + rb" )[^\s\"'`]{6}",
        rb"(?i)\b" + _SYSTEMS + rb"(?: [a-z]{2,12})?(?::? ?[\w.@-]{2,40} / | " + _DASH + rb" )(?P<value>[^\s\"'`\\\x00<>()/]{7,80})(?=[ \t]{0,4}(?:[\r\n\x00\"]|\\|\Z))",
        _has_shape,
    ),
)  # fmt: skip
