"""Backbones by name: shapes, grey input, and errors that say the way out."""

from __future__ import annotations

import sys
from urllib.error import URLError

import pytest
import torch
from torch import nn

from uda.errors import UsageError
from uda.models.backbones import build_backbone
from uda.models.seeding import seeded

TORCHVISION = ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["small", "wrn-16-1", *TORCHVISION])
def test_backbones_give_the_features_they_promise(name, channels):
    net = build_backbone(name, channels=channels).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, channels, 64, 64)).shape == (2, net.num_features)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "alexnet",
        "densenet121",
        "mnasnet0_5",
        "mobilenet_v2",
        "regnet_y_400mf",
        "resnext50_32x4d",
        "shufflenet_v2_x0_5",
        "swin_t",
        "swin_v2_t",
        "vgg11_bn",
        "wide_resnet50_2",
    ],
)
def test_one_of_every_other_family_works(name):
    net = build_backbone(name, channels=1).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, 1, 64, 64)).shape == (2, net.num_features)


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_grey_network_is_the_colour_network_seeing_grey(name):
    with seeded(0, "init"):
        colour = build_backbone(name, channels=3).eval()
    with seeded(0, "init"):
        grey = build_backbone(name, channels=1).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 1, 64, 64, generator=generator)
    with torch.no_grad():
        wanted = colour(images.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey(images), wanted, rtol=1e-3, atol=1e-4)


def test_only_the_head_is_gone():
    from torchvision import models

    whole = models.get_model("resnet18")
    whole.fc = nn.Identity()
    assert list(build_backbone("resnet18", channels=3).state_dict()) == list(
        whole.state_dict()
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "resnet18"),
        ("smal", "small"),
        ("", "small"),
        ("wrn-27-2", "wrn-28-2"),
        ("wrn-28", "wrn-28-2"),
        ("wrn-4-2", "wrn-28-2"),
        ("wrn-28-0", "wrn-28-2"),
        ("vit_b_16", "not supported"),
        ("inception_v3", "not supported"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(name, message):
    with pytest.raises(UsageError, match=message):
        build_backbone(name, channels=3)


def test_two_channels_are_refused():
    with pytest.raises(UsageError, match="1 or 3"):
        build_backbone("small", channels=2)


@pytest.mark.parametrize("name", ["small", "wrn-28-2"])
def test_our_own_networks_have_no_published_weights(name):
    with pytest.raises(UsageError, match="--weights"):
        build_backbone(name, channels=1, pretrained=True)


def test_both_sources_of_weights_are_refused(tmp_path):
    with pytest.raises(UsageError, match="exclude each other"):
        build_backbone(
            "resnet18", channels=1, weights=tmp_path / "w.pth", pretrained=True
        )


def test_offline_names_the_file_its_place_and_the_option(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(UsageError) as caught:
        build_backbone("resnet18", channels=1, pretrained=True)
    message = str(caught.value)
    assert "--weights resnet18-f37072fd.pth" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "no route to host" in message


def test_published_weights_are_used_from_the_cache(tmp_path, monkeypatch):
    from torchvision import models

    with seeded(5, "init"):
        published = models.get_model("resnet18")
    monkeypatch.setattr(
        models.ResNet18_Weights.DEFAULT.__class__,
        "get_state_dict",
        lambda self, *args, **kwargs: published.state_dict(),
    )
    net = build_backbone("resnet18", channels=1, pretrained=True)
    wanted = published.conv1.weight.sum(1, keepdim=True)
    torch.testing.assert_close(net.conv1.weight, wanted)
    assert torch.equal(net.layer4[1].conv2.weight, published.layer4[1].conv2.weight)


def test_timm_says_what_to_install_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match="pip install timm"):
        build_backbone("timm/resnet18", channels=3)


def test_timm_networks_work_where_it_is_installed():
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    for name in ("resnet18", "mobilenetv3_small_100"):
        net = build_backbone(f"timm/{name}", channels=1).eval()
        with torch.no_grad():
            assert net(torch.zeros(2, 1, 64, 64)).shape == (2, net.num_features)
    with pytest.raises(UsageError, match="Did you mean"):
        build_backbone("timm/resnet81", channels=1)
