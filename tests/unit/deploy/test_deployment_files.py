"""Files of every kind of deployment: valid by the schemas of their readers, the same as before, and with the rights they need."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support import deploy_schemas, deployments
from tests.support.deploy_schemas import documents
from tests.support.deployments import HEART, ON_GPU, rendered
from tritonize.deploy import Deployment, ServedModel, strict_templates
from tritonize.deploy.deployment import CONFIG_MAP_BYTES, HELM_BYTES
from tritonize.deploy.files import golden_in_config_map

HOSTILE = (
    'a: b\n---\nkind: Secret # "',
    "syntax=evil/image",
    "${HOME} $(id) {{ .Values.image }} {% raw %}",
    "no",
    "сердце \u2028 \x85 \ufeff \u202e \U0001f4a9",
    "x" * 255,
)


def objects(deployment: Deployment, kind: Any = "kubernetes") -> list[dict[str, Any]]:
    return [each for text in rendered(kind, deployment).values() for each in documents(text)]


def of_kind(deployment: Deployment, kind: str) -> list[dict[str, Any]]:
    return [each for each in objects(deployment) if each["kind"] == kind]


def named(model: str, deployment: Deployment = HEART) -> Deployment:
    """The deployment with another model's name wherever names of models go."""
    models = (replace(deployment.models[0], name=model),)
    return replace(deployment, models=models, verifications=tuple(replace(each, model=model) for each in deployment.verifications))


@pytest.mark.parametrize("variant", deployments.VARIANTS)
def test_the_files_are_the_golden_ones(variant: str) -> None:
    golden = (deployments.FOLDER / f"{variant}.txt").read_text(encoding="utf-8")
    assert deployments.as_one(variant) == golden, "see tests/support/deployments.py"


@pytest.mark.parametrize("deployment", [HEART, ON_GPU, named("".join(HOSTILE))])
def test_every_object_is_valid(deployment: Deployment) -> None:
    kinds = []
    for each in (*objects(deployment), *objects(deployment, "kserve")):
        deploy_schemas.validate_object(each)
        kinds.append(each["kind"])
    core = ["Deployment", *["Service"] * 2, "HorizontalPodAutoscaler", "PodMonitor", *["ConfigMap", "Job", "CronJob"] * 2]
    assert sorted(kinds) == sorted([*core, "ServingRuntime", "InferenceService"])
    (compose,) = documents(rendered("compose", deployment)["compose.yaml"])
    deploy_schemas.validate_compose(compose)
    (values,) = documents(rendered("helm", deployment)["values.yaml"])
    assert values["models"] == deployment.summary


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "cpus"), 1),
        ("Job", ("spec", "backoffLimit"), "six"),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "every"), "15s"),
        ("ServingRuntime", ("spec", "containers", 0, "command"), "tritonserver"),
        ("InferenceService", ("spec", "predictor", "model", "storage_uri"), "s3://bucket"),
    ],
)
def test_the_schemas_find_a_planted_fault(kind: str, path: tuple[Any, ...], value: object) -> None:
    (found,) = [each for each in (*objects(HEART), *objects(HEART, "kserve")) if each["kind"] == kind][:1]
    place: Any = found
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        deploy_schemas.validate_object(found)


def test_a_compose_file_with_a_planted_fault_is_invalid() -> None:
    (compose,) = documents(rendered("compose", HEART)["compose.yaml"])
    compose["services"]["triton"]["cap_dropped"] = []
    with pytest.raises(jsonschema.ValidationError):
        deploy_schemas.validate_compose(compose)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_a_value(name: str) -> None:
    plain, hostile = objects(named("heart")), objects(named(name))
    for before, after in zip(plain, hostile, strict=True):
        before["metadata"].pop("annotations", None)
        annotations = after["metadata"].pop("annotations", {})
        assert name in str(annotations.get("tritonize/model", name))
    plain_text, text = json.dumps(plain), json.dumps(hostile)
    assert text == plain_text.replace(
        "/v2/models/heart/ready", "/v2/health/ready" if name not in ("no", "x" * 255) else f"/v2/models/{name}/ready"
    )
    (compose,) = documents(rendered("compose", named(name))["compose.yaml"])
    assert compose["services"]["triton"]["labels"]["tritonize.models"].replace("$$", "$") == named(name).summary
    assert "$" not in compose["services"]["triton"]["labels"]["tritonize.models"].replace("$$", "")
    for kind in ("image", "compose"):
        for file, content in rendered(kind, named(name)).items():
            if file.startswith("Dockerfile"):
                words = [line.split(" ")[0] for line in content.splitlines() if not line.startswith("#")]
                assert set(words) <= {"FROM", "COPY", "USER", "EXPOSE", "CMD", "ARG", "RUN", "ENV", "ENTRYPOINT"}
                assert "=" not in content.splitlines()[0]  # `# syntax=…` in the first lines names a program of Docker's


def test_a_template_cannot_write_a_value_without_a_filter(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "t.j2").write_text("a: {{ value }}")
    monkeypatch.setattr(strict_templates.resources, "templates", lambda: tmp_path)
    with pytest.raises(TypeError, match="without a filter"):
        strict_templates.fill("t.j2", {"value": "b"})


@pytest.mark.parametrize("value", ["a b", "a\nRUN id", "$(id)", ""])
def test_a_word_of_a_dockerfile_is_plain(value: str) -> None:
    with pytest.raises(ValueError, match="not a plain word"):
        strict_templates.word(value)


def pods(deployment: Deployment) -> list[dict[str, Any]]:
    found = [each["spec"] for each in objects(deployment) if each["kind"] in ("Deployment", "Job")]
    found += [each["spec"]["jobTemplate"]["spec"] for each in objects(deployment) if each["kind"] == "CronJob"]
    return [each["template"]["spec"] for each in found]


@pytest.mark.parametrize("deployment", [HEART, ON_GPU])
def test_pods_have_the_rights_of_the_restricted_standard_and_no_more(deployment: Deployment) -> None:
    assert len(pods(deployment)) == 5
    for pod in pods(deployment):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
        assert {key for volume in pod["volumes"] for key in volume} <= {"name", "emptyDir", "configMap", "persistentVolumeClaim"}
        for container in pod["containers"]:
            rights = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == rights


def test_compose_has_loopback_a_read_only_mount_and_minimal_rights() -> None:
    (compose,) = documents(rendered("compose", HEART)["compose.yaml"])
    triton = compose["services"]["triton"]
    assert all(port.startswith("127.0.0.1:") for port in triton["ports"])
    assert [mount["read_only"] for mount in triton["volumes"]] == [True]
    for service in compose["services"].values():
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
        assert (service["user"], service["read_only"]) == ("1000:1000", True)
    assert "deploy" not in triton
    assert triton["healthcheck"]["test"][-1] == "http://127.0.0.1:8000/v2/models/heart/ready"
    verify = compose["services"]["heart-verify-1"]
    assert verify["profiles"] == ["verify"]
    assert verify["depends_on"] == {"triton": {"condition": "service_healthy"}}
    (gpu,) = documents(rendered("compose", ON_GPU)["compose.yaml"])
    (device,) = gpu["services"]["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_resources_are_what_was_measured() -> None:
    def resources(deployment: Deployment) -> dict[str, Any]:
        (found,) = of_kind(deployment, "Deployment")
        return dict(found["spec"]["template"]["spec"]["containers"][0]["resources"])

    assert resources(HEART) == {"requests": {"memory": "151Mi"}}  # 150 MiB and a byte
    assert resources(ON_GPU) == {"requests": {"memory": "151Mi"}, "limits": {"nvidia.com/gpu": 1}}
    unmeasured = replace(HEART, models=(*HEART.models, ServedModel(name="n", versions=(1,), backend="python", bytes=1)))
    assert resources(unmeasured) == {}
    assert "was not measured, so none is requested" in rendered("kubernetes", unmeasured)["deployment.yaml"]


def test_a_probe_asks_for_the_model_and_of_several_for_all() -> None:
    def paths(deployment: Deployment) -> set[str]:
        (found,) = of_kind(deployment, "Deployment")
        container = found["spec"]["template"]["spec"]["containers"][0]
        return {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe")}

    assert paths(HEART) == {"/v2/models/heart/ready"}
    two = replace(HEART, models=(*HEART.models, replace(HEART.models[0], name="lung")))
    assert paths(two) == {"/v2/health/ready"}
    assert paths(named("сердце")) == {"/v2/health/ready"}  # Triton does not decode the path
    assert "--strict-readiness=true" in two.server()


def test_a_verification_names_the_version_only_if_clients_get_another() -> None:
    by_version = {job["metadata"]["annotations"]["tritonize/version"]: job for job in of_kind(HEART, "Job")}
    arguments = {version: job["spec"]["template"]["spec"]["containers"][0]["args"] for version, job in by_version.items()}
    urls = ["--url", "http://heart-replicas:8000", "--url", "grpc://heart-replicas:8001"]
    assert arguments["2"] == ["verify", "--golden", "/golden/heart-verify-2.golden", *urls]
    assert arguments["1"] == ["verify", "--golden", "/golden/heart-verify-1.golden", "--version", "1", *urls]
    (rule,) = by_version["1"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [1, 2, 3]


def test_the_services_select_the_servers_and_no_verification() -> None:
    service, replicas = of_kind(HEART, "Service")
    assert (replicas["metadata"]["name"], replicas["spec"]["clusterIP"]) == ("heart-replicas", "None")
    assert service["spec"]["selector"] == replicas["spec"]["selector"]
    selector = service["spec"]["selector"].items()
    (server,) = of_kind(HEART, "Deployment")
    assert selector <= server["spec"]["template"]["metadata"]["labels"].items()
    for job in of_kind(HEART, "Job"):
        assert not selector <= job["spec"]["template"]["metadata"]["labels"].items()


def test_golden_files_are_in_config_maps_up_to_their_limit_and_on_a_volume_beyond() -> None:
    maps = {each["metadata"]["name"]: each["binaryData"] for each in of_kind(HEART, "ConfigMap")}
    assert {name: base64.b64decode(data[f"{name}.golden"]) for name, data in maps.items()} == deployments.GOLDEN
    large = replace(HEART, verifications=tuple(replace(each, bytes=CONFIG_MAP_BYTES + 1) for each in HEART.verifications))
    assert of_kind(large, "ConfigMap") == []
    for pod in pods(large)[1:]:
        assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "heart-golden", "readOnly": True}
    for each in objects(large):
        deploy_schemas.validate_object(each)
    fits = replace(HEART, verifications=tuple(replace(each, bytes=HELM_BYTES // 2) for each in HEART.verifications))
    assert golden_in_config_map("helm", fits)
    assert not golden_in_config_map("helm", replace(fits, verifications=(*fits.verifications, fits.verifications[0])))
    assert golden_in_config_map("kubernetes", fits)


def test_without_a_golden_file_there_is_no_verification() -> None:
    bare = replace(HEART, verifications=())
    assert {each["kind"] for each in objects(bare)} == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodMonitor"}
    (values,) = documents(rendered("helm", bare)["values.yaml"])
    assert values["verification"]["golden"] == []


def test_the_rule_for_the_metric_is_valid_and_named_like_it() -> None:
    text = rendered("kubernetes", HEART)["hpa.yaml"]
    comment = [line[2:] for line in text.splitlines() if line.startswith("#   ")]
    (rule,) = yaml.safe_load("\n".join(comment))
    assert rule["seriesQuery"].startswith("nv_inference_queue_duration_us{")
    (scaler,) = of_kind(HEART, "HorizontalPodAutoscaler")
    assert rule["name"]["as"] == scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert "<<.LabelMatchers>>" in rule["metricsQuery"]


def test_a_configuration_that_triton_completed_in_the_proof_is_completed_again() -> None:
    assert "--disable-auto-complete-config" in HEART.server()
    assert "--disable-auto-complete-config" not in replace(HEART, completes=True).server()
