"""Where cells lie: read with the list of images, refused where it cannot be, kept to the last file."""

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.inputs import read_input
from asae_jax.inference.positions import Position


def _items(tmp_path, text):
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    return read_input(str(tmp_path / "list.csv"))


def test_a_position_is_read_with_its_row(tmp_path):
    items = _items(
        tmp_path,
        "path,patient,Slide,X,y,width,height\n"
        "a.png,p1,S 1.svs,1204,87.5,96,94\n"
        "b.png,p1,S 1.svs,.5e3,12,,\n"
        "c.png,p1,,,,,\n",
    )
    assert [item.position for item in items] == [
        Position("S 1.svs", 1204, 87.5, 96, 94),
        Position("S 1.svs", 500, 12),
        None,
    ]
    assert [item.group for item in items] == ["p1", "p1", "p1"]


def test_the_slide_is_the_group_where_nothing_wider_is_named(tmp_path):
    items = _items(tmp_path, "path,slide,x,y\na.png,S1,1,2\nb.png,S2,1,2\n")
    assert [item.group for item in items] == ["S1", "S2"]


def test_the_corner_counts_with_a_size_and_the_middle_without():
    assert Position("S", 10, 20, 30, 40).corners() == (10, 20, 40, 60)
    assert Position("S", 10, 20).corners() is None
    assert Position("S", 10.0, 2.5, 30.0, 40.0).columns() == {
        "slide": "S", "x": 10, "y": 2.5, "width": 30, "height": 40,
    }  # fmt: skip


def test_a_crop_may_reach_over_the_slide_s_edge_but_its_cell_may_not_lie_beyond(tmp_path):
    head = "path,slide,x,y,width,height\n"
    assert _items(tmp_path, head + "a.png,S,-40,-10,96,96\n")[0].position == Position("S", -40, -10, 96, 96)
    with pytest.raises(UserError, match=r"line 2: the cell's middle lies outside of the slide"):
        _items(tmp_path, head + "a.png,S,-50,0,96,96\n")


def test_x_and_y_of_no_slide_are_left_aside_and_said(tmp_path):
    """The table of `embed` has columns x and y: places on its map."""
    with pytest.warns(UserWarning, match=r"list\.csv are not used: a column slide"):
        items = _items(tmp_path, "path,x,y\na.png,0.3,-2\n")
    assert items[0].position is None


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("path,slide,x", "a.png,S,1", "column 'y' is missing"),
        ("path,slide,x,y,width", "a.png,S,1,2,3", "column 'height' is missing"),
        ("path,slide,x,y", "a.png,S,nan,2", "line 2: x is nan, not a number of pixels"),
        ("path,slide,x,y", "a.png,S,inf,2", "x is inf"),
        ("path,slide,x,y", "a.png,S,1_000,2", "x is 1_000"),
        ("path,slide,x,y", 'a.png,S,"12,5",2', "x is 12,5"),
        ("path,slide,x,y", "a.png,S,1e300,2", "x is 1e300"),
        ("path,slide,x,y", "a.png,S,1,", "y is empty"),
        ("path,slide,x,y", "a.png,S,1,-2", "outside of the slide"),
        ("path,slide,x,y", "a.png,,1,2", "a position without a slide"),
        ("path,slide,x,y,width,height", "a.png,S,1,2,0,5", "width is 0: give pixels above 0"),
        ("path,slide,x,y,width,height", "a.png,S,1,2,5,-1", "height is -1"),
        ("path,slide,x,y,width,height", "a.png,S,1,2,5,", "height is empty"),
        ("path,slide,x,y,width,height", "a.png,S,,,5,5", "x is empty"),
    ],
)
def test_what_cannot_be_a_position_is_refused_with_its_line(tmp_path, head, row, message):
    with pytest.raises(UserError, match=message) as error:
        _items(tmp_path, f"{head}\n{row}\n")
    assert "list.csv, line " in str(error.value)


def test_two_cells_in_one_place_are_refused(tmp_path):
    with pytest.raises(UserError, match="line 4: the same place as in line 2"):
        _items(tmp_path, "path,slide,x,y\na.png,S,1,2\nb.png,T,1,2\nc.png,S,1.0,2.0\n")
