"""Every syntax crossed with every label and every form of value: what people leak is a product, not a list of examples."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forge_collector.redaction.corpus import issued
from forge_collector.redaction.corpus.makers import ALNUM, DIGITS, HEX, Maker, some

# Names as code has them: words apart, so that each style can be made of them.
PASSWORD_NAMES = (
    "password", "db password", "smtp passwd", "pwd", "admin pwd", "pass", "redis pass", "passphrase", "user password", "root pw",
    "keystore password", "login passwort", "kennwort", "mot de passe", "wachtwoord", "senha", "contrasena", "vault passcode",
)  # fmt: skip
KEY_NAMES = (
    "api key", "apikey", "secret", "client secret", "app secret", "access token", "auth token", "token", "bot token", "secret key",
    "private key", "signing key", "encryption key", "webhook secret", "session secret", "cookie secret", "jwt secret", "access key",
    "refresh token", "service key", "admin key", "api token", "master key", "license key", "hmac key", "storage key", "api secret",
)  # fmt: skip
# What people write before a value, by language; what follows the label in a sentence.
SPOKEN = (
    ("password", "is", ":"), ("Password", "was changed to", ":"), ("my password", "is", ":"), ("the admin password", "is still", ":"),
    ("the passphrase for the backup", "is", ":"), ("the wifi password", "is", ":"), ("the login code word, password,", "is", ":"),
    ("Passwort", "lautet", ":"), ("das Kennwort für den Router", "ist", ":"), ("mein Passwort", "ist jetzt", ":"), ("WLAN-Schlüssel", "ist", ":"),
    ("mot de passe", "est", " :"), ("le mot de passe du serveur", "est", " :"), ("la contraseña", "es", ":"), ("Contraseña nueva", "es", ":"),
    ("la clave del wifi", "es", ":"), ("a senha", "é", ":"), ("la password del server", "è", ":"), ("het wachtwoord", "is", ":"),
    ("hasło", "to", ":"), ("heslo", "je", ":"), ("lösenordet", "är", ":"), ("adgangskoden", "er", ":"), ("passordet", "er", ":"),
    ("salasana", "on", ":"), ("jelszó", "az, hogy", ":"), ("parola", "este", ":"), ("şifre", "şu", ":"), ("пароль", "такой", ":"),
    ("Пароль от сервера", "—", ":"), ("密码", "是", "："), ("パスワードは", "", "："), ("비밀번호는", "", ":"), ("mật khẩu", "là", ":"),
    ("kata sandi", "adalah", ":"), ("κωδικός", "είναι", ":"), ("كلمة المرور", "هي", ":"), ("הסיסמה", "היא", ":"), ("पासवर्ड", "है", ":"),
)  # fmt: skip


def _human(rng: random.Random) -> str:
    return issued.SECRETS["human"](rng)


def _leet(rng: random.Random) -> str:
    word = "".join(rng.choice("bcdfglmnprst") + rng.choice("aeiou03") for _ in range(4)).capitalize()
    return f"{word}{rng.choice('!?#$&*@')}{some(rng, 3, DIGITS)}"


def _noisy(rng: random.Random) -> str:
    return (
        some(rng, 6, ALNUM)
        + rng.choice("#^*~@%+")
        + some(rng, 5, ALNUM)
        + rng.choice("!*^~+")
        + some(rng, 2, DIGITS)
        + "k"
    )


PASSWORDS: dict[str, Maker] = {
    "human": _human,
    "leet": _leet,
    "strong": issued.SECRETS["strong"],
    "noisy": _noisy,
    "alnum12": lambda rng: some(rng, 5, ALNUM) + some(rng, 2, DIGITS) + some(rng, 5, ALNUM),
    "word and year": lambda rng: rng.choice(("Sommer", "Winter", "dragon", "Lisboa", "herbst")) + str(rng.randrange(1950, 2030)) + rng.choice(("!", "?", "", "$")),
}  # fmt: skip
KEYS: dict[str, Maker] = {
    "hex32": lambda rng: some(rng, 32, HEX),
    "hex64": lambda rng: some(rng, 64, HEX),
    "alnum24": lambda rng: some(rng, 24, ALNUM),
    "alnum40": lambda rng: some(rng, 40, ALNUM),
    "base64": lambda rng: some(rng, 43, ALNUM + "+/") + "=",
    "url43": lambda rng: some(rng, 43, ALNUM + "_-"),
    "uuid": issued.SECRETS["uuid"],
    "prefixed": lambda rng: (
        f"{some(rng, 3, 'bcdfgmnp')}_{rng.choice(('live', 'prod', 'v1', 'eu'))}_{some(rng, 30, ALNUM)}"
    ),
}
# `{v}` is the value. Names: {l} snake, {L} screaming, {c} camel, {C} Pascal, {k} kebab, {t} words, {T} Words.
ASSIGNED = {
    "env": "{L}={v}", "export": "export {L}={v}", "env quoted": '{L}="{v}"', "env single": "export {L}='{v}'", "yaml": "{l}: {v}",
    "yaml quoted": "{c}: '{v}'", "yaml list": "  - {l}: {v}", "yaml folded": "{l}: >-\n  {v}\n", "yaml block": "  {c}: |\n    {v}\n",
    "json": '"{c}": "{v}",', "json tight": '{{"user":"bob","{l}":"{v}"}}', "json escaped": 'body: "{{\\"{l}\\": \\"{v}\\"}}"',
    "toml": '{l} = "{v}"', "ini": "{l}={v}", "ini spaced": "{l} = {v}", "properties": "spring.mail.{k}={v}", "aligned": "{l}      :   {v}",
    "xml": "<{c}>{v}</{c}>", "xml attribute": '<conn user="bob" {c}="{v}" ssl="true"/>', "xml add": '<add key="{C}" value="{v}" />',
    "xml property": '<property name="{k}" value="{v}"/>', "xml entry": '<entry key="{l}">{v}</entry>', "xml string": '<string name="{l}">{v}</string>',
    "xml setting": '<setting name="{C}"><value>{v}</value></setting>', "xml cdata": "<{l}><![CDATA[{v}]]></{l}>",
    "plist": "<key>{C}</key>\n<string>{v}</string>", "hcl": '  {l} = "{v}"', "hcl default": 'variable "{l}" {{\n  default = "{v}"\n}}',
    "k8s env": "- name: {L}\n  value: {v}", "k8s env quoted": '- name: {L}\n  value: "{v}"', "name and value": '{{"name": "{L}", "value": "{v}"}}',
    "key and value": '{{"key": "{l}", "type": "text", "value": "{v}"}}', "ecs": '{{ name = "{L}", value = "{v}" }}', "sql update": "UPDATE users SET {l} = '{v}' WHERE id = 3;",
    "sql insert": "INSERT INTO conf (host, {l}) VALUES ('a', '{v}');", "flag": "tool --{k} {v} --verbose", "flag equals": "tool --{k}={v} run",
    "flag quoted": "tool --{k} '{v}'", "powershell": "Connect-It -{C} '{v}'", "slash flag": "tool.exe /{C}:{v} /q", "java flag": "java -D{k}={v} -jar a.jar",
    "header": "X-{K}: {v}", "header in code": "headers: {{ 'X-{K}': '{v}' }}", "curl header": 'curl -H "{K}: {v}" https://api.example.org',
    "query": "https://api.example.org/v1/items?{l}={v}&page=2", "form": "user=bob&{l}={v}&remember=1", "curl data": "curl -d '{l}={v}' https://x.example.org",
    "connection": "Server=db;Database=shop;User Id=sa;{C}={v};Encrypt=true;", "libpq": "host=db user=shop {l}={v} dbname=shop",
    "python": '{l} = "{v}"', "python typed": "{l}: str = '{v}'", "python bytes": "{L} = b'{v}'", "python field": '{l}: SecretStr = SecretStr("{v}")',
    "python argument": 'client = Client("a", {l}="{v}", timeout=3)', "python default": 'def connect(host, {l}="{v}"):', "python item": "config['{l}'] = '{v}'",
    "python environ": 'os.environ["{L}"] = "{v}"', "python setdefault": "os.environ.setdefault('{L}', '{v}')", "python getenv": 'os.getenv("{L}", "{v}")',
    "python triple": '{l} = """{v}"""', "python tuple": '("{l}", "{v}"),', "python dict": "dict(user='bob', {l}='{v}')", "python or": "{l} = {l} or '{v}'",
    "js const": 'const {c} = "{v}";', "js typed": "const {c}: string = '{v}';", "js template": "let {c} = `{v}`;", "js object": "{{ user: 'bob', {c}: '{v}' }}",
    "js env": "process.env.{L} || '{v}'", "js nullish": 'process.env.{L} ?? "{v}"', "js set": "localStorage.setItem('{c}', '{v}')", "js member": "config.{c} = '{v}';",
    "java": 'private static final String {L} = "{v}";', "java setter": 'source.set{C}("{v}");', "java builder": '.{c}("{v}")', "java with": '.with{C}("{v}")',
    "java put": 'props.put("mail.{k}", "{v}");', "java annotation": '@Value("${{{k}:{v}}}")', "java map": 'Map.of("{c}", "{v}")', "java chars": 'char[] {c} = "{v}".toCharArray();',
    "kotlin": 'val {c} = "{v}"', "kotlin const": 'const val {L}: String = "{v}"', "swift": 'let {c}: String = "{v}"', "swift optional": 'var {c}: String? = "{v}"',
    "go": '{c} := "{v}"', "go const": 'const {c} string = "{v}"', "go struct": '{C}: "{v}",', "go setenv": 'os.Setenv("{L}", "{v}")', "go pointer": '{C}: aws.String("{v}"),',
    "rust": 'let {l}: &str = "{v}";', "rust const": "const {L}: &'static str = \"{v}\";", "rust some": '{l}: Some("{v}".to_string()),', "rust from": '{l}: String::from("{v}"),',
    "csharp": 'public string {C} {{ get; set; }} = "{v}";', "csharp new": 'new Client {{ {C} = "{v}" }}', "csharp named": 'Login(user: "bob", {c}: "{v}")',
    "c define": '#define {L} "{v}"', "c pointer": 'static const char *{l} = "{v}";', "c array": 'const char {l}[] = "{v}";', "cpp auto": 'const auto {l} = std::string{{"{v}"}};',
    "objc": 'static NSString *const k{C} = @"{v}";', "php variable": "${l} = '{v}';", "php define": "define('{L}', '{v}');", "php array": "'{l}' => '{v}',",
    "php env": "env('{L}', '{v}')", "php property": "$this->{c} = '{v}';", "ruby": "{l} = '{v}'", "ruby symbol": ":{l} => '{v}'", "ruby env": "ENV['{L}'] ||= '{v}'",
    "ruby fetch": 'ENV.fetch("{L}", "{v}")', "ruby set": "set :{l}, '{v}'", "perl": 'my ${l} = "{v}";', "perl hash": "${c}{{'{l}'}} = '{v}';", "lua": 'local {l} = "{v}"',
    "r": '{l} <- "{v}"', "r setenv": 'Sys.setenv({L} = "{v}")', "julia": 'ENV["{L}"] = "{v}"', "scala": 'val {c}: Option[String] = Some("{v}")', "elixir": 'config :app, {l}: "{v}"',
    "elixir tuple": '{{:{l}, "{v}"}}', "erlang": '{{{l}, "{v}"}}', "clojure": '(def {k} "{v}")', "clojure map": '{{:user "bob" :{k} "{v}"}}', "lisp": '(setq {k} "{v}")',
    "haskell": '{c} = "{v}" :: String', "ocaml": 'let {l} = "{v}" in', "dart": "static const String {c} = '{v}';", "matlab": "{c} = '{v}';", "vb": 'Dim {C} As String = "{v}"',
    "pascal": "{C} := '{v}';", "powershell variable": '${C} = "{v}"', "powershell env": "$env:{L} = '{v}'", "powershell secure": 'ConvertTo-SecureString "{v}" -AsPlainText -Force # {t}',
    "batch": "set {L}={v}", "setx": 'setx {L} "{v}"', "fish": "set -gx {L} {v}", "csh": "setenv {L} {v}", "docker env": "ENV {L} {v}", "docker arg": "ARG {L}={v}",
    "docker run": "docker run -e {L}={v} app", "build arg": "docker build --build-arg {L}={v} .", "systemd": 'Environment="{L}={v}"', "compose": '      {L}: "{v}"',
    "compose list": "      - {L}={v}", "helm": "helm upgrade x . --set auth.{c}={v}", "literal": "kubectl create secret generic x --from-literal={k}={v}",
    "heroku": "heroku config:set {L}={v} -a shop", "gh secret": 'gh secret set {L} --body "{v}"', "aws configure": "aws configure set {l} {v}", "git config": "git config --global x.{k} {v}",
    "shell default": "${{{L}:-{v}}}", "comparison": 'if ({c} == "{v}") {{', "equals": 'if ({c}.equals("{v}"))', "strict comparison": "if ({c} === '{v}')", "printed struct": "Config{{Host:db {C}:{v}}}",
    "printed object": "Config(host=db, {c}={v})", "dumped": "{{'user': 'bob', '{l}': '{v}'}}", "log": "INFO connecting user=bob {l}={v} retry=3", "log prose": "WARN using {t} {v} for bob",
    "comment": "# {t}: {v}", "line comment": "// {c} = {v}", "todo": "// TODO remove: {t} is {v}", "csv": "host,{l}\ndb1,{v}\n", "tsv": "host\t{l}\ndb1\t{v}\n",
    "semicolons": "name;{T};note\nmail;{v};new\n", "markdown table": "| service | {T} |\n|---|---|\n| mail | {v} |\n", "markdown row": "| {T} | {v} |", "markdown code row": "| {T} | `{v}` |",
    "graphql": 'mutation {{ login(user: "bob", {c}: "{v}") {{ ok }} }}', "nginx": 'proxy_set_header X-{K} "{v}";', "apache": "SetEnv {L} {v}", "jsonl log": '{{"msg":"login","{c}":"{v}"}}',
    "latex": "\\newcommand{{\\{c}}}{{{v}}}", "vim": 'let g:{l} = "{v}"', "nix": 'services.x.{c} = "{v}";', "jsonnet": "{c}:: '{v}',", "proto text": '{l}: "{v}"', "bicep": "param {c} string = '{v}'",
    "ansible": "{l}: !unsafe '{v}'", "jinja": "{{% set {l} = '{v}' %}}", "js default": "function f({{ {c} = '{v}' }}) {{", "unicode quotes": "{T}: “{v}”", "http body": "POST /login\n\n{l}={v}",
}  # fmt: skip
WRITTEN = {
    "label": "{s}{colon} {v}", "sentence": "{s} {is} {v}", "sentence, stop": "By the way, {s} {is} {v}.", "line below": "{s}{colon}\n{v}\n", "line alone": "{s}\n{v}\n",
    "quoted": '{s} {is} "{v}"', "backticks": "{s}{colon} `{v}`", "bold": "**{s}{colon}** {v}", "bold outside": "- **{s}**{colon} {v}", "arrow": "{s} -> {v}", "arrow sign": "{s} → {v}",
    "dash": "{s} - {v}", "long dash": "{s} – {v}", "equals": "{s} = {v}", "parentheses": "(VPN, {s}{colon} {v})", "after user": "user bob, {s} {v}", "user above": "User: bob\n{s}{colon} {v}\nURL: x",
    "heading": "## {s}\n\n`{v}`\n", "bullets": "* {s}{colon} {v}\n* port: 5432", "guillemets": "{s}{colon} «{v}»", "html": "<b>{s}{colon}</b> {v}<br>", "html cells": "<tr><td>{s}</td><td>{v}</td></tr>",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Probe:
    """A text, and the value in it that must go, or that must stay."""

    carrier: str
    label: str
    form: str
    text: str
    value: str


def styles(name: str) -> dict[str, str]:
    words = name.lower().split()
    title = [word.capitalize() for word in words]
    return {
        "l": "_".join(words), "L": "_".join(words).upper(), "c": words[0] + "".join(title[1:]), "C": "".join(title), "k": "-".join(words),
        "K": "-".join(title), "t": " ".join(words), "T": " ".join(title),
    }  # fmt: skip


def assigned(
    rng: random.Random, names: tuple[str, ...], forms: dict[str, Callable[[random.Random], str]]
) -> Iterator[Probe]:
    """Every syntax with every name and, in turn, every form of value."""
    for carrier, template in ASSIGNED.items():
        for name in names:
            form = rng.choice(list(forms))
            value = forms[form](rng)
            yield Probe(carrier, name, form, template.format(v=value, **styles(name)), value)


def written(rng: random.Random) -> Iterator[Probe]:
    for carrier, template in WRITTEN.items():
        for label, verb, colon in SPOKEN:
            form = rng.choice(list(PASSWORDS))
            value = PASSWORDS[form](rng)
            yield Probe(
                carrier, label, form, template.format(s=label, colon=colon, v=value, **{"is": verb}), value
            )


# What stands where a secret would and is none: references, calls, placeholders, names, numbers of all kinds.
HARMLESS = (
    "${DB_PASSWORD}", "$DB_PASSWORD", "{{ vault_password }}", "<your-password>", "getpass.getpass()", "changeme", "os.environ['PW']",
    "********", "null", "None", "true", "string", "required", "process.env.PW", "secrets.token_hex(16)", "args.password", "xxxxxxxx",
    "/run/secrets/db", "vault:secret/data/db", "example", "your-api-key-here", "%(password)s", "PLACEHOLDER", "config.secret_key", "TODO",
    "REDACTED", "user_input", "Optional[str]", "read_file(path)", "self._token", "str", "ask the admin", "***", "[hidden]", "not set",
)  # fmt: skip
_HARMLESS_CARRIERS = (
    "env", "yaml", "yaml quoted", "json", "toml", "ini", "xml", "python", "python argument", "js const", "java setter", "go", "flag", "query", "header",
    "csharp", "php array", "ruby symbol", "k8s env quoted", "connection", "markdown row", "comment", "python dict", "hcl", "log",
)  # fmt: skip


def harmless(rng: random.Random) -> Iterator[Probe]:
    for carrier in _HARMLESS_CARRIERS:
        for value in HARMLESS:
            name = rng.choice((*PASSWORD_NAMES, *KEY_NAMES))
            yield Probe(carrier, name, "", ASSIGNED[carrier].format(v=value, **styles(name)), value)
    for text in PROSE:
        yield Probe("prose", "", "", text, text)


PROSE = (
    "Passwords must have at least 12 characters, one digit and one of !?#.", "The token expires after 3600s; see RFC6749 section 4.1.", "Reset your password at https://example.org/reset by 2024-05-01.",
    "We rotate keys every 90 days since v2.3.1 (ticket SEC-1234).", "Your password was changed on 12.03.2024 at 10:15 from Chrome/120.0.", "password: see 1Password, vault Team-3", "The secret of step 2b is patience.",
    "Token limit: 128k in, 4k out; temperature 0.7.", "primary key: user_id_2024", "The key difference between HTTP/1.1 and HTTP/2 is multiplexing.", "Das Passwort muss mindestens 8 Zeichen lang sein (§ 3b).",
    "Le mot de passe doit contenir 12 caractères.", "La contraseña debe tener 8 caracteres.", "Пароль должен содержать 8 символов.", "パスワードは8文字以上にしてください。", "密码长度至少为8位。", "password hashing with bcrypt and sha256 in python3.11",
    "auth: OAuth2 with PKCE (S256)", "the access key to room B12-04 is with the porter", "pass 2 of 3: 45.2s", "a pass at 1080p60", "token_type=bearer&expires_in=3600", "credentials are stored with AES-256-GCM", "secret santa 2024: bring a gift under 20EUR",
    "Passwort vergessen? Wenden Sie sich an Zimmer 4b.", "kubectl get secret my-tls-2024 -o yaml", "aws secretsmanager get-secret-value --secret-id prod/db-2", "api_key = load_key('keys/v2.pem')", "if password == confirm_password2:", "key: Ctrl+Shift+F5",
)  # fmt: skip
