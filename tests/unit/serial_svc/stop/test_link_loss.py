"""Which policy is in force, what it does, and what a configuration may ask for."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from usbshare.base.config import dumps_config
from usbshare.line.profiles import BY_NAME, GRBL, MARLIN, RAW, Profile, StopAction, StopPlan
from usbshare.serial_svc.line.port_config import LinkLossPolicy, PortConfig
from usbshare.serial_svc.settings import Settings
from usbshare.serial_svc.stop.link_loss import action_of, policy_of

DOOR, HOLD, STOP = LinkLossPolicy.DOOR, LinkLossPolicy.HOLD, LinkLossPolicy.STOP


def settings(**port: Any) -> Settings:
    return Settings.model_validate({"ports": {"laser": {"source": "sim://grbl", **port}}})


def configured(**port: Any) -> PortConfig:
    return settings(**port).port_configs()[0]


@pytest.mark.parametrize(
    ("profile", "policy"), [(GRBL, DOOR), (MARLIN, DOOR), (RAW, LinkLossPolicy.NONE)]
)
def test_the_profile_decides_where_nothing_is_configured(
    profile: Profile, policy: LinkLossPolicy
) -> None:
    assert policy_of(None, profile) is policy


def test_a_raw_port_with_configured_door_bytes_uses_them() -> None:
    raw = replace(RAW, stops={**RAW.stops, StopAction.SAFETY_DOOR: StopPlan(b"D")})
    assert policy_of(None, raw) is DOOR


@pytest.mark.parametrize("policy", LinkLossPolicy)
@pytest.mark.parametrize("profile", BY_NAME.values(), ids=lambda profile: profile.name)
def test_the_configured_policy_counts_with_every_profile(
    policy: LinkLossPolicy, profile: Profile
) -> None:
    assert policy_of(policy, profile) is policy


def test_each_policy_has_its_stop() -> None:
    assert {policy: action_of(policy) for policy in LinkLossPolicy} == {
        DOOR: StopAction.SAFETY_DOOR,
        HOLD: StopAction.HOLD,
        STOP: StopAction.EMERGENCY_STOP,
        LinkLossPolicy.CONTINUE: None,
        LinkLossPolicy.NONE: None,
    }


def test_configured_and_unconfigured_ports_have_the_same_defaults() -> None:
    plugged_in = PortConfig("1a86-7523", "/dev/ttyUSB0")
    for config in (plugged_in, configured()):
        assert config.link_loss is None
        assert (config.link_timeout_s, config.resume_window_s) == (2.0, 30.0)
        assert config.write_timeout_s == 60.0


@pytest.mark.parametrize("policy", LinkLossPolicy)
def test_every_policy_can_be_configured(policy: LinkLossPolicy) -> None:
    assert configured(profile="grbl", link_loss=policy.value).link_loss is policy


@pytest.mark.parametrize(("policy", "key"), [("door", "safety_door"), ("hold", "hold")])
def test_a_policy_whose_stop_the_profile_lacks_is_an_error_until_its_bytes_are_set(
    policy: str, key: str
) -> None:
    with pytest.raises(ValidationError, match=rf'link_loss = "{policy}" .* raw .*\[stop\] {key}'):
        settings(profile="raw", link_loss=policy)
    assert configured(profile="raw", link_loss=policy, stop={key: "D"}).link_loss is not None


@pytest.mark.parametrize("policy", ["door", "hold", "stop"])
def test_on_auto_a_policy_waits_for_the_firmware(policy: str) -> None:
    assert configured(link_loss=policy).link_loss is LinkLossPolicy(policy)


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("link_timeout_s", 0.5, 60),
        ("resume_window_s", 0, 3600),
        ("write_timeout_s", 0, 600),
    ],
)
def test_times_have_limits(key: str, least: float, most: float) -> None:
    for value in (least, most):
        assert getattr(configured(**{key: value}), key) == value
    for value in (least - 0.1, most + 0.1):
        with pytest.raises(ValidationError, match=key):
            settings(**{key: value})


def test_an_unknown_policy_is_reported_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="'door', 'hold', 'stop', 'continue' or 'none'"):
        settings(link_loss="pause")


def test_the_dumped_settings_can_be_read_again() -> None:
    chosen = settings(profile="grbl", link_loss="hold", link_timeout_s=1.5, write_timeout_s=0)
    dumped = tomllib.loads(dumps_config(chosen))
    port = dumped["ports"]["laser"]
    assert port["link_loss"] == "hold"
    assert (port["link_timeout_s"], port["resume_window_s"]) == (1.5, 30.0)
    assert port["write_timeout_s"] == 0
    assert Settings.model_validate(dumped) == chosen
