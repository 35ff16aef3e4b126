from __future__ import annotations

import pytest

from tests.data.boxes.helpers import image, rules, sample, write_files, write_images
from uda.data.boxes import voc
from uda.data.boxes.model import BoxSet, Category
from uda.errors import DataError

OBJECT = """<object><name>pit</name><pose>Left</pose><difficult>1</difficult>
<part><name>edge</name><bndbox><xmin>3</xmin></bndbox></part>
<bndbox><xmin>2</xmin><ymin>3.5</ymin><xmax>9</xmax><ymax>10</ymax></bndbox></object>"""
FILE = f"""<annotation><folder>VOC2012</folder><filename>one.png</filename>
<source><database>ours</database></source><size><width>64</width><height>48</height>
<depth>1</depth></size><segmented>0</segmented>{OBJECT}</annotation>"""


def read(folder, text, **changes):
    write_files(folder, {"x/one.xml": text.encode()})
    images = write_images(folder / "images")
    return voc.read(folder / "x", rules(images, **changes))


def test_reads_flags_parts_and_floats(tmp_path):
    found = read(tmp_path, FILE).images[0]
    assert found.boxes.tolist() == [[2, 3.5, 9, 10]]
    assert found.extras[0]["pose"] == "Left"
    assert found.extras[0]["difficult"] == 1
    assert found.extras[0]["part"] == [{"name": "edge", "bndbox": {"xmin": "3"}}]
    assert found.extra == {
        "folder": "VOC2012", "source": {"database": "ours"}, "depth": 1, "segmented": 0,
    }  # fmt: skip


def test_repeated_tags_and_attributes_are_kept(tmp_path):
    """As CVAT writes them (attributes), and labelImg (verified)."""
    more = """<attributes><attribute><name>a</name><value>1</value></attribute>
    <attribute><name>b</name><value unit="mm">2</value></attribute></attributes>
    <bndbox>"""
    text = FILE.replace("<bndbox>\n", "<bndbox>").replace(
        "<bndbox><xmin>2", more + "<xmin>2"
    )
    text = text.replace("<annotation>", '<annotation verified="yes">')
    text = text.replace("<source>", '<source id="7">two words<database>its</database>')
    found = read(tmp_path, text).images[0]
    assert found.extras[0]["attributes"] == {
        "attribute": [
            {"name": "a", "value": "1"},
            {"name": "b", "value": {"@unit": "mm", "#text": "2"}},
        ]
    }
    assert found.extra["@verified"] == "yes"
    assert found.extra["source"] == {
        "@id": "7", "database": ["its", "ours"], "#text": "two words",
    }  # fmt: skip

    # What VOC has a place for is written there, and read again alike.
    files = voc.encode(BoxSet((found,), (Category("pit"),)))
    again = read(tmp_path / "again", files["annotations/one.xml"].decode()).images[0]
    assert again.extra["source"] == found.extra["source"]
    assert again.extras[0]["part"] == found.extras[0]["part"]


def test_counting_from_one(tmp_path):
    assert read(tmp_path, FILE, voc_base=1).images[0].boxes.tolist() == [
        [1, 2.5, 9, 10]
    ]


def test_a_whole_image_counted_from_one(tmp_path):
    whole = BoxSet((image("one.png", [[0, 0, 64, 48]], [0]),), (Category("pit"),))
    text = voc.encode(whole, base=1)["annotations/one.xml"].decode()
    for key, value in (("xmin", 1), ("ymin", 1), ("xmax", 64), ("ymax", 48)):
        assert f"<{key}>{value}</{key}>" in text


def test_the_image_is_found_beside_its_folder_name(tmp_path):
    images = write_images(tmp_path / "images")
    text = (
        "<annotation><folder>sub folder</folder><filename>empty.png</filename>"
        "</annotation>"
    )
    write_files(tmp_path, {"x/any.xml": text.encode()})
    found = voc.read(tmp_path / "x/any.xml", rules(images))
    assert found.images[0].path == "sub folder/empty.png"
    assert found.images[0].boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<filename>one.png</filename>", ""), r"one\.xml: names no image"),
        (("<name>pit</name>", ""), r"one\.xml, object 1: has no <name>"),
        (("<ymax>10</ymax>", ""), "object 1: needs a <bndbox> .*<ymax> is missing"),
        (("<ymax>10</ymax>", "<ymax>ten</ymax>"), "object 1: needs .*<ymax> is 'ten'"),
        (("<ymax>10</ymax>", "<ymax>nan</ymax>"), "object 1: .*not a finite"),
        (("<ymax>10</ymax>", "<ymax>500</ymax>"), "object 1: .*reaches out"),
        (("one.png", "two.png"), "the file is missing"),
        (("<width>64", "<width>640"), "says one.png is 640x48"),
        (("one.png", "../../secret.png"), "stay inside"),
    ],
)
def test_faults_name_file_and_object(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, FILE.replace(*change))


def test_a_size_of_zero_is_unknown(tmp_path):
    text = FILE.replace("<width>64", "<width>0")
    assert read(tmp_path, text).images[0].width == 64


def test_images_of_one_stem_and_names_xml_cannot_hold(tmp_path):
    both = [image("one.png", [], [])]
    jpeg = type(both[0])("one.jpg", 1, 1, both[0].boxes, (), ())
    files = voc.encode(BoxSet((both[0], jpeg), ()))
    assert list(files) == ["annotations/one.xml", "annotations/one.jpg.xml"]
    broken = BoxSet((image("one.png", [[0, 0, 1, 1]], [0]),), (Category("a\x01"),))
    with pytest.raises(DataError, match="XML cannot hold"):
        voc.encode(broken)
    assert b"&lt;Zunder&gt;" in voc.encode(sample())["annotations/one.xml"]
