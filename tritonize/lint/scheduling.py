"""Rules about dynamic batching, the response cache, transaction policy and metrics.

Source: core, `ValidateModelConfig` in `model_config_utils.cc`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tritonize.lint.model import Model
from tritonize.lint.rule import Diagnostic, Edit, Rule

_CORE = "Triton checks this before it loads the model (core, `ValidateModelConfig`)."

PREFERRED = Rule(
    id="TR301",
    name="preferred-batch-size",
    severity="error",
    triton="refuses",
    what="A preferred batch size is not between 1 and max_batch_size.",
    why=_CORE + " Without preferred sizes the batcher takes as many requests as wait, which suits most models.",
    fix="remove the size, or raise max_batch_size",
    wrong="max_batch_size: 4\ndynamic_batching { preferred_batch_size: [ 8 ] }",
    right="max_batch_size: 8\ndynamic_batching { preferred_batch_size: [ 8 ] }",
)
NO_BATCHES = Rule(
    id="TR302",
    name="batching-without-batches",
    severity="warning",
    triton="accepts",
    what="Dynamic batching is configured, but the model takes no batches.",
    why="With max_batch_size 0 Triton accepts `dynamic_batching` and never joins requests.",
    fix="set max_batch_size, or remove dynamic_batching",
    wrong="max_batch_size: 0\ndynamic_batching { }",
    right="max_batch_size: 8\ndynamic_batching { }",
    fixable=True,
)
DEFAULT_PRIORITY = Rule(
    id="TR303",
    name="default-priority",
    severity="error",
    triton="refuses",
    what="The default priority level is not one of the priority levels.",
    why=_CORE + " Requests without a priority take the default level; levels count from 1, the highest.",
    fix="set default_priority_level between 1 and priority_levels",
    wrong="dynamic_batching { priority_levels: 2 }",
    right="dynamic_batching { priority_levels: 2 default_priority_level: 1 }",
)
QUEUE_PRIORITY = Rule(
    id="TR304",
    name="queue-policy-priority",
    severity="error",
    triton="refuses",
    what="A queue policy is for a priority level that does not exist.",
    why=_CORE,
    fix="use a key between 1 and priority_levels",
    wrong="priority_levels: 2 default_priority_level: 1\npriority_queue_policy { key: 3 value { max_queue_size: 8 } }",
    right="priority_levels: 2 default_priority_level: 1\npriority_queue_policy { key: 2 value { max_queue_size: 8 } }",
)
ORDER_PRIORITIES = Rule(
    id="TR305",
    name="ordering-and-priorities",
    severity="error",
    triton="refuses",
    what="`preserve_ordering` is set with more than one priority level.",
    why="Responses in the order of their requests and requests of different priority exclude each other.",
    fix="remove `preserve_ordering`, or use one priority level",
    wrong="dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }",
    right="dynamic_batching { priority_levels: 2 default_priority_level: 1 }",
)
ORDER_DELAY = Rule(
    id="TR306",
    name="ordering-and-delay",
    severity="error",
    triton="refuses",
    what="`preserve_ordering` is set with a queue policy that delays requests.",
    why="A request whose timeout action is DELAY is processed after later ones.",
    fix="set timeout_action to REJECT, or remove `preserve_ordering`",
    wrong="preserve_ordering: true\ndefault_queue_policy { timeout_action: DELAY default_timeout_microseconds: 100 }",
    right="preserve_ordering: true\ndefault_queue_policy { timeout_action: REJECT default_timeout_microseconds: 100 }",
)
CACHE_SEQUENCE = Rule(
    id="TR307",
    name="cache-of-sequences",
    severity="error",
    triton="refuses",
    what="The response cache is enabled for a model with sequence batching.",
    why="The answer to a request depends on the sequence before it, so it cannot be cached.",
    fix="remove `response_cache`",
    wrong="sequence_batching { }\nresponse_cache { enable: true }",
    right="sequence_batching { }",
)
CACHE_DECOUPLED = Rule(
    id="TR308",
    name="cache-of-decoupled",
    severity="error",
    triton="refuses",
    what="The response cache is enabled for a decoupled model.",
    why="A decoupled model sends any number of responses to a request, so they cannot be cached.",
    fix="remove `response_cache`",
    wrong="model_transaction_policy { decoupled: true }\nresponse_cache { enable: true }",
    right="model_transaction_policy { decoupled: true }",
)
CACHE_SERVER = Rule(
    id="TR309",
    name="cache-needs-server",
    severity="info",
    triton="accepts",
    what="The response cache works only if the server has one.",
    why="Without `--cache-config=local,size=BYTES` the server ignores `response_cache`. With it, equal requests are "
    "answered without the "
    "model, also after another version with the same number was loaded.",
    fix="start the server with --cache-config, or remove `response_cache`",
    wrong="response_cache { enable: true }   # and tritonserver without --cache-config",
    right="response_cache { enable: true }   # and tritonserver --cache-config=local,size=1048576",
)
METRICS = Rule(
    id="TR310",
    name="metric-control",
    severity="error",
    triton="refuses",
    what="A metric control is incomplete.",
    why="It needs the family of the metric and the buckets of its histogram (core, `ValidateModelMetrics`).",
    fix="set `metric_identifier { family }` and `histogram_options { buckets }`",
    wrong='model_metrics { metric_control [ { metric_identifier { family: "nv_inference_first_response_histogram_ms" } } ] }',
    right='model_metrics { metric_control [ { metric_identifier { family: "nv_inference_first_response_histogram_ms" }\n'
    "  histogram_options { buckets: [ 1, 10 ] } } ] }",
)
RULES = (
    PREFERRED,
    NO_BATCHES,
    DEFAULT_PRIORITY,
    QUEUE_PRIORITY,
    ORDER_PRIORITIES,
    ORDER_DELAY,
    CACHE_SEQUENCE,
    CACHE_DECOUPLED,
    CACHE_SERVER,
    METRICS,
)
_DYNAMIC = "dynamic_batching"


def check(model: Model) -> Iterator[Diagnostic]:
    """Check everything but sequence batching."""
    if model.config.HasField(_DYNAMIC):
        yield from preferred(model, _DYNAMIC)
        yield from _priorities(model)
        yield from _ordering(model)
        if model.config.max_batch_size == 0:
            yield model.at(NO_BATCHES, _DYNAMIC, found="max_batch_size 0", edit=removal(model, _DYNAMIC))
    yield from _cache(model)
    yield from _metrics(model)


def removal(model: Model, *path: str | int) -> Edit | None:
    """The change that removes a field, with its list; `None` if its place is not certain."""
    node = model.places.node(path)
    if node is None or not model.text:
        return None
    start, end = node.whole or (node.start, node.end)
    while end < len(model.text) and model.text[end] in " \t,;":
        end += 1
    before = model.text.rfind("\n", 0, start) + 1
    if not model.text[before:start].strip() and model.text[end : end + 1] == "\n":  # a line of its own
        start, end = before, end + 1
    return Edit(start=start, end=end, text="")


def preferred(model: Model, *path: str) -> Iterator[Diagnostic]:
    """Check the preferred batch sizes of a batcher; `path` leads to its message."""
    batcher = model.config
    for name in path:
        batcher = getattr(batcher, name)
    most = model.config.max_batch_size
    for index, size in enumerate(batcher.preferred_batch_size):
        if not 1 <= size <= most:
            yield model.at(
                PREFERRED, *path, "preferred_batch_size", index, found=str(size), expected=f"1 to {most}, max_batch_size"
            )


def _priorities(model: Model) -> Iterator[Diagnostic]:
    batching = model.config.dynamic_batching
    levels = batching.priority_levels
    if not levels:
        return
    if not 1 <= batching.default_priority_level <= levels:
        found = f"default_priority_level {batching.default_priority_level}"
        yield model.at(
            DEFAULT_PRIORITY, _DYNAMIC, "default_priority_level", found=found, expected=f"1 to {levels} (priority_levels)"
        )
    for level in batching.priority_queue_policy:
        if not 1 <= level <= levels:
            place = (_DYNAMIC, "priority_queue_policy")
            yield model.at(QUEUE_PRIORITY, *place, found=f"a policy of level {level}", expected=f"1 to {levels} (priority_levels)")


def _ordering(model: Model) -> Iterator[Diagnostic]:
    batching = model.config.dynamic_batching
    if not batching.preserve_ordering:
        return
    if batching.priority_levels > 1:
        yield model.at(
            ORDER_PRIORITIES, _DYNAMIC, "preserve_ordering", found=f"{batching.priority_levels} priority levels", expected="1"
        )
    policies = {"default_queue_policy": batching.default_queue_policy}
    policies |= {f"the policy of level {level}": each for level, each in batching.priority_queue_policy.items()}
    for name, policy in policies.items():
        if policy.default_timeout_microseconds and policy.timeout_action == policy.DELAY:
            yield model.at(ORDER_DELAY, _DYNAMIC, "preserve_ordering", found=f"{name} has timeout_action DELAY", expected="REJECT")


def _cache(model: Model) -> Iterator[Diagnostic]:
    if not model.config.response_cache.enable:
        return
    place = ("response_cache", "enable")
    if model.config.HasField("sequence_batching"):
        yield model.at(CACHE_SEQUENCE, *place, found="sequence_batching")
    elif model.config.model_transaction_policy.decoupled:
        yield model.at(CACHE_DECOUPLED, *place, found="model_transaction_policy { decoupled: true }")
    else:
        yield model.at(CACHE_SERVER, *place, found="response_cache { enable: true }", expected="a server with --cache-config")


def _metrics(model: Model) -> Iterator[Diagnostic]:
    for index, each in enumerate(model.config.model_metrics.metric_control):
        if not each.metric_identifier.family:
            missing = "metric_identifier { family }"
        elif not each.histogram_options.buckets:
            missing = "histogram_options { buckets }"
        else:
            continue
        yield model.at(METRICS, "model_metrics", "metric_control", index, found=f"no {missing}")
