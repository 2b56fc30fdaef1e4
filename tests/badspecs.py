"""Bad specs and what must be said of them: a table for the tests of the reader, the loader and the commands.

``at`` holds ``line:column`` and words of each message; the words may stand in any order. ``schema`` is true
where the JSON Schema must refuse the spec as well, as far as plain YAML can read it.
"""

from __future__ import annotations

from typing import NamedTuple


class BadSpec(NamedTuple):
    name: str
    data: bytes
    at: tuple[tuple[str, tuple[str, ...]], ...]
    schema: bool = False


def bad(name: str, text: str | bytes, *at: tuple[str, str], schema: bool = False) -> BadSpec:
    data = text if isinstance(text, bytes) else text.encode()
    return BadSpec(name, data, tuple((place, tuple(words.split("|"))) for place, words in at), schema)


GOOD = "filters: 2\nkernel_size: 3\n"
LAUGHS = "a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n"

TEXT_AS_A_WHOLE = (
    bad("empty", "", ("1:1", "empty|layers")),
    bad("only comments", "# nothing\n\n", ("1:1", "empty")),
    bad("empty document", "---\n...\n", ("1:1", "empty")),
    bad("NUL", b"filters: 2\nkernel_\0size: 3\n", ("2:8", "NUL")),
    bad("control character", b"filters: 2\nkernel_size: \x1b3\n", ("2:14", "U+001B")),
    bad("not UTF-8", b"filters: 2\nname: caf\xe9\nkernel_size: 3\n", ("2:10", "UTF-8|0xe9")),
    bad("UTF-16", "filters: 2\n".encode("utf-16"), ("1:1", "UTF-8|0xff")),
    bad("too large", "# " + "x" * 65536 + "\n" + GOOD, ("1:1", "65565 bytes|at most 65536")),
    bad("too deep", "filters: " + "[" * 16 + "]" * 16, ("1:25", "17 levels|at most 16")),
    bad("very deep", "[" * 60000, ("1:17", "17 levels")),
    bad("several documents", GOOD + "---\n" + GOOD, ("3:1", "second document|one document")),
    bad(
        "aliases",
        LAUGHS,
        *[("1:4", "anchor|&a"), ("2:4", "anchor|&b"), ("2:8", "alias|*a"), ("2:12", "alias|*a")],
        *[("3:5", "alias|*b"), ("3:9", "alias|*b")],
    ),
    bad("tag", "filters: !!int 2\nkernel_size: !k 3\n", ("1:10", "tag|!!int"), ("2:14", "tag|!k")),
    bad("python tag", "filters: !!python/object/apply:os.getcwd []\n", ("1:10", "tag|python/object")),
    bad("unclosed list", "filters: 2\nkernel_size: [3, 3\n", ("3:1", "not YAML|the end of the file")),
    bad("unclosed quote", 'name: "a\nfilters: 2\n', ("3:1", "not YAML|1:7")),
    bad("tab", "layers:\n\t- filters: 2\n", ("2:1", "not YAML|spaces")),
    bad("two values", "filters: 2: 3\n", ("1:11", "not YAML|':'")),
    bad("a list at the top", "- filters: 2\n  kernel_size: 3\n", ("1:1", "a list|mapping"), schema=True),
    bad("a word at the top", "edges\n", ("1:1", "'edges'|mapping"), schema=True),
    bad("a PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ("1:1", "UTF-8|0x89")),
)

KEYS = (
    bad("repeated key", GOOD + "filters: 3\n", ("3:1", "repeated|'filters'|1:1")),
    bad(
        "repeated in a flow",
        "layers: [{filters: 2, filters: 3, kernel_size: 1}]\n",
        ("1:23", "repeated|1:11"),
    ),
    bad("merge key", GOOD + "<<: {strides: 2}\n", ("3:1", "merge key")),
    bad("a key that is no word", GOOD + "no: 3\n", ("3:1", "key|no|false")),
    bad("a key that is a number", GOOD + "3: 3\n", ("3:1", "key|the number 3")),
    bad("a key that is a list", GOOD + "? [a]\n: 3\n", ("3:3", "key|list")),
    bad(
        "unknown key",
        "filters: 2\nkernal_size: 3\n",
        ("1:1", "kernel_size"),
        ("2:1", "unknown|did you mean 'kernel_size'"),
        schema=True,
    ),
    bad("unknown key without a like", GOOD + "qqq: 1\n", ("3:1", "unknown|'qqq'|filters|strides"), schema=True),
    bad("misspelt weights", GOOD + "weigths: a.npz\n", ("3:1", "unknown|did you mean 'weights'"), schema=True),
    bad("misspelt layers", "layer:\n  - filters: 2\n", ("1:1", "unknown|did you mean 'layers'"), schema=True),
    bad(
        "a layer's key beside layers",
        "layers:\n  - {filters: 2, kernel_size: 3}\nstrides: 2\n",
        ("3:1", "'strides'|keras, layers, weights"),
        schema=True,
    ),
    bad(
        "weights inside a layer",
        "layers:\n  - {filters: 2, kernel_size: 3, weights: a.npz}\n",
        ("2:34", "unknown|'weights'"),
        schema=True,
    ),
)

TRAPS = (
    bad("octal", "filters: 010\nkernel_size: 3\n", ("1:10", "filters|010|the number 8|write 8, or 10")),
    bad("octal in a list", "filters: 1\nkernel_size: [3, 3, 011]\n", ("2:21", "kernel_size|011|the number 9")),
    bad("sexagesimal", "filters: 3:00\nkernel_size: 3\n", ("1:10", "3:00|the number 180")),
    bad("sexagesimal name", GOOD + "name: 12:30\n", ("3:7", "12:30|the number 750|in quotes")),
    bad("underscore", "filters: 1_000\nkernel_size: 3\n", ("1:10", "1_000|the number 1000|write 1000")),
    bad("binary", "filters: 0b11\nkernel_size: 3\n", ("1:10", "0b11|the number 3")),
    bad("date", GOOD + "name: 2001-01-01\n", ("3:7", "2001-01-01|date|in quotes")),
    bad(
        "huge number",
        "filters: 9223372036854775808\nkernel_size: 3\n",
        ("1:10", "too large|9223372036854775807"),
    ),
    bad(
        "exponent for a number",
        "filters: 1e3\nkernel_size: 3\n",
        ("1:10", "1e3|the text '1e3'|write 1000"),
        schema=True,
    ),
    bad(
        "no for a number",
        "filters: no\nkernel_size: 3\n",
        ("1:10", "filters|whole number|no as false"),
        schema=True,
    ),
    bad("no for a word", GOOD + "padding: no\n", ("3:10", "padding|'same'|no as false|quotes"), schema=True),
    bad("no for a name", GOOD + "name: off\n", ("3:7", "name|off as false|'off' in quotes"), schema=True),
    bad("None", GOOD + "strides: None\n", ("3:10", "strides|the text 'None'|write null"), schema=True),
    bad(
        "a tuple",
        "filters: 2\nkernel_size: (3, 3, 1)\n",
        ("2:14", "text '(3, 3, 1)'|write [3, 3, 1]"),
        schema=True,
    ),
    bad("nothing", "filters:\nkernel_size: 3\n", ("1:9", "filters|nothing|null"), schema=True),
    bad(
        "exponent deep inside",
        GOOD + "kernel_initializer: {class_name: HeNormal, config: {seed: 1e3}}\n",
        ("3:59", "kernel_initializer|1e3|1000"),
    ),
)

LAYERS = (
    bad("no layer", "keras: 2\n", ("1:1", "no layer"), schema=True),
    bad("an empty list of layers", "layers: []\n", ("1:9", "empty list"), schema=True),
    bad("layers that are a mapping", "layers:\n  filters: 2\n", ("2:3", "layers|must be a list"), schema=True),
    bad("a layer that is a word", "layers:\n  - edges\n", ("2:5", "mapping|'edges'"), schema=True),
    bad("keras 4", "keras: 4\n" + GOOD, ("1:8", "keras|2 or 3|4"), schema=True),
    bad("keras as text", 'keras: "2"\n' + GOOD, ("1:8", "keras|2 or 3|'2'"), schema=True),
    bad("keras as a fraction", "keras: 2.0\n" + GOOD, ("1:8", "keras|2 or 3|2.0")),
    bad("keras true", "keras: true\n" + GOOD, ("1:8", "keras|2 or 3|True"), schema=True),
    bad(
        "weights that are a list",
        "weights: [a.npz]\n" + GOOD,
        ("1:10", "weights|name of a file"),
        schema=True,
    ),
    bad("weights left empty", "weights:\n" + GOOD, ("1:9", "weights|name of a file|nothing"), schema=True),
    bad(
        "another class",
        "class_name: Conv2D\nconfig: {filters: 2, kernel_size: 3}\n",
        ("1:13", "class_name|'Conv2D'|did you mean 'Conv3D'"),
        schema=True,
    ),
    bad(
        "a whole model",
        "class_name: Sequential\nconfig: {layers: []}\n",
        ("1:13", "Sequential|layers"),
        schema=True,
    ),
    bad("class_name alone", "layers:\n  - class_name: Conv3D\n", ("2:5", "config|missing"), schema=True),
    bad("config alone", "config: {filters: 2}\n", ("1:1", "config|class_name"), schema=True),
    bad(
        "config that is a list",
        "class_name: Conv3D\nconfig: [2]\n",
        ("2:9", "config|mapping|[2]"),
        schema=True,
    ),
    bad(
        "a key beside config",
        "class_name: Conv3D\nconfig: {filters: 2, kernel_size: 3}\nstrides: 2\n",
        ("3:1", "unknown|'strides'"),
        schema=True,
    ),
    bad(
        "nothing required is there",
        "layers:\n  - padding: same\n",
        ("2:5", "filters"),
        ("2:5", "kernel_size"),
        schema=True,
    ),
    bad("filters 0", "filters: 0\nkernel_size: 3\n", ("1:10", "filters|0"), schema=True),
    bad("with a byte order mark", "\ufefffilters: 0\nkernel_size: 3\n", ("1:10", "filters|0"), schema=True),
    bad("filters as text", 'filters: "8"\nkernel_size: 3\n', ("1:10", "filters|'8'"), schema=True),
    bad("a fraction", "filters: 2\nkernel_size: [3, 1.5, 3]\n", ("2:14", "kernel_size|1.5"), schema=True),
    bad("two numbers", "filters: 2\nkernel_size: [3, 3]\n", ("2:14", "kernel_size|[3, 3]"), schema=True),
    bad("stride 0", GOOD + "strides: 0\n", ("3:10", "strides|0"), schema=True),
    bad("causal padding", GOOD + "padding: causal\n", ("3:10", "padding|causal"), schema=True),
    bad("misspelt activation", GOOD + "activation: rellu\n", ("3:13", "activation|rellu|relu")),
    bad("strides with dilation", GOOD + "strides: 2\ndilation_rate: 2\n", ("3:10", "strides|dilation_rate")),
    bad("groups that do not divide", "filters: 3\nkernel_size: 3\ngroups: 2\n", ("3:9", "groups|2|3")),
    bad(
        "inside config",
        "class_name: Conv3D\nconfig:\n  filters: 0\n  kernel_size: 3\n  pading: same\n",
        ("3:12", "filters|0"),
        ("5:3", "did you mean 'padding'"),
        schema=True,
    ),
)

NETWORKS = (
    bad(
        "names taken twice",
        "layers:\n  - {name: a, filters: 2, kernel_size: 3}\n  - {name: a, filters: 2, kernel_size: 3}\n",
        ("3:12", "name|'a'|2:12"),
    ),
    bad(
        "mixed data_format",
        "layers:\n  - {filters: 2, kernel_size: 3, data_format: channels_first}\n  - {filters: 2, kernel_size: 3}\n",
        ("3:5", "data_format|channels_first|2:5"),
    ),
    bad(
        "groups do not divide channels",
        "layers:\n  - {filters: 3, kernel_size: 3}\n  - {filters: 4, kernel_size: 3, groups: 2}\n",
        ("3:42", "groups|got 2|3|2:5"),
    ),
    bad(
        "declared channels that do not come in",
        "layers:\n  - {filters: 3, kernel_size: 3}\n  - {filters: 4, kernel_size: 3, input_shape: [9, 9, 9, 2]}\n",
        ("3:47", "input_shape|got 2|expected 3|2:5"),
    ),
    bad(
        "groups do not divide channels that come by way of another layer",
        "layers:\n  - {filters: 3, kernel_size: 3}\n  - {class_name: Dropout, config: {rate: 0.5}}\n"
        "  - {filters: 4, kernel_size: 3, groups: 2}\n  - {filters: 1, kernel_size: 1}\n",
        ("4:42", "groups|got 2|3 channels|'conv3d_1'"),
    ),
    bad(
        "declared channels that do not come by way of another layer",
        "layers:\n  - {filters: 3, kernel_size: 3}\n  - {class_name: ReLU, config: {}}\n"
        "  - {filters: 4, kernel_size: 3, input_shape: [9, 9, 9, 2]}\n",
        ("4:5", "filters|got 3, expected 2"),
    ),
    bad(
        "halves of an odd number of channels",
        "keras: 3\nlayers:\n  - {filters: 3, kernel_size: 1}\n"
        "  - {class_name: Activation, config: {activation: glu}}\n",
        ("4:51", "activation: glu|got 3"),
    ),
    bad(
        "borders in another format",
        "layers:\n  - {filters: 2, kernel_size: 3, data_format: channels_first}\n"
        "  - {class_name: ZeroPadding3D, config: {padding: 1}}\n",
        ("3:41", "data_format|got channels_last|2:5"),
    ),
    bad(
        "names taken twice in configs",
        "layers:\n  - {class_name: Dropout, config: {rate: 0.5, name: a}}\n  - {class_name: ReLU, config: {name: a}}\n",
        ("3:39", "name|'a'|2:53"),
    ),
    bad(
        "several at once",
        "keras: 1\nlayers:\n  - filters: 0\n    kernel_size: 010\n  - kernel_size: 3\n    filtres: 2\nwieghts: a\n",
        *[
            ("1:8", "keras"),
            ("3:14", "filters|0"),
            ("4:18", "010"),
            ("5:5", "filters"),
            ("6:5", "'filters'"),
            ("7:1", "'weights'"),
        ],
        schema=True,
    ),
)

OTHERS = (
    bad(
        "three problems of a Dropout",
        "layers:\n  - class_name: Dropout\n    config:\n      rate: 2\n      seed: x\n      noise: 3\n",
        *[("4:13", "rate|2"), ("5:13", "seed|'x'"), ("6:7", "'noise'|did you mean 'noise_shape'")],
        schema=True,
    ),
    bad("a rate that is missing", "class_name: Dropout\nconfig: {}\n", ("2:9", "rate|missing"), schema=True),
    bad(
        "two sides",
        "class_name: Cropping3D\nconfig: {cropping: [1, 1]}\n",
        ("2:20", "cropping|has 2 values|[1, 1]"),
        schema=True,
    ),
    bad(
        "a side below 0",
        "class_name: ZeroPadding3D\nconfig:\n  padding: [1, [0, -1], 2]\n",
        ("3:12", "padding|below 0"),
        schema=True,
    ),
    bad(
        "a slope that is no number",
        "class_name: LeakyReLU\nconfig: {alpha: x}\n",
        ("2:17", "LeakyReLU: alpha|not a number|'x'"),
        schema=True,
    ),
    bad("a misspelt slope", "class_name: LeakyReLU\nconfig: {alfa: 1}\n", ("2:10", "'alfa'|'alpha'"), schema=True),
    bad(
        "a slope of the other dialect",
        "class_name: LeakyReLU\nconfig: {negative_slope: 1}\n",
        ("2:26", "negative_slope is of keras: 3"),
    ),
    bad(
        "a layer of the other dialect", "keras: 3\nclass_name: ThresholdedReLU\nconfig: {}\n", ("3:9", "is of keras: 2")
    ),
    bad(
        "an unknown activation",
        "class_name: Activation\nconfig: {activation: rellu}\n",
        ("2:22", "rellu|relu"),
        schema=True,
    ),
    bad("an activation of the other dialect", GOOD + "activation: mish\n", ("3:13", "mish is of keras: 3")),
    bad(
        "sparse inputs",
        "class_name: InputLayer\nconfig: {sparse: true}\n",
        ("2:18", "sparse|got True|false"),
        schema=True,
    ),
    bad(
        "a layer of somebody else",
        "class_name: Conv3D\nmodule: my.layers\nconfig: {filters: 2, kernel_size: 3}\nregistered_name: my>Conv3D\n",
        ("1:1", "not Keras's own"),
    ),
    bad(
        "an initializer of somebody else",
        "keras: 3\n" + GOOD + "kernel_initializer: {module: mine, class_name: HeNormal, registered_name: Mine}\n",
        ("4:21", "kernel_initializer|not Keras's own|'Mine'"),
    ),
    bad(
        "a parameter within a parameter",
        GOOD
        + "activation: {class_name: PReLU, config: {alpha_initializer: {class_name: HeNormal, config: {sed: 1}}}}\n",
        ("3:61", "PReLU: alpha_initializer: HeNormal|'sed'|did you mean 'seed'"),
        schema=True,
    ),
    bad("zeros on each side with Keras", GOOD + "padding: 1\n", ("3:10", "padding|dialect torch")),
    bad("another dialect", GOOD + "dialect: pytorch\n", ("3:10", "dialect|'pytorch'|'torch'"), schema=True),
    bad(
        "same with strides in PyTorch",
        GOOD + "dialect: torch\npadding: same\nstrides: 2\n",
        ("4:10", "padding|'same'|strides"),
    ),
)

BAD_SPECS = TEXT_AS_A_WHOLE + KEYS + TRAPS + LAYERS + NETWORKS + OTHERS
