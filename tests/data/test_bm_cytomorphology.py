def test_nested_folders_and_bytes_are_kept(made, prepare, examples, caplog):
    root = "BM_cytomorphology/BM_cytomorphology_data"
    kept = {
        "MMZ/0001-1000/MMZ_00006.jpg": made.jpeg(f"{root}/MMZ/0001-1000/MMZ_00006.jpg"),
        "MMZ/1001-2000/MMZ_01001.jpg": made.jpeg(f"{root}/MMZ/1001-2000/MMZ_01001.jpg"),
        "ABE/ABE_00001.jpg": made.jpeg(f"{root}/ABE/ABE_00001.jpg"),
    }
    made.jpeg("__MACOSX/BM_cytomorphology_data/MMZ/0001-1000/._MMZ_00006.jpg")
    made.jpeg(f"{root}/MMZ/0001-1000/._MMZ_00006.jpg")
    made.text(f"{root}/MMZ/notes.txt", "")
    made.jpeg(f"{root}/new class/1.jpg")

    builder = prepare("bm_cytomorphology")

    found = examples(builder)
    assert {name: example["image"] for name, example in found.items()} == kept
    assert {name: example["label"] for name, example in found.items()} == {
        name: name.partition("/")[0] for name in kept
    }
    assert builder.info.file_format.value == "array_record"
    (counts,) = [message for message in caplog.messages if "documented" in message]
    assert "ABE 8 documented, 1 found; ART 19630 documented, 0 found" in counts
    assert "bm_cytomorphology: left out 1 (not a class folder), first new class" in caplog.messages
    assert "bm_cytomorphology: left out 1 (no image by its extension), first MMZ/notes.txt" in caplog.messages


def test_info_names_the_classes_and_the_licence(prepare, made):
    made.jpeg("PMO/PMO_00001.jpg")
    info = prepare("bm_cytomorphology").info
    assert info.features["label"].num_classes == 21
    assert info.metadata["full_names"]["PMO"] == "promyelocyte"
    assert "TCIA.AXH3-T579" in info.citation
    assert "For research, not a diagnosis." in info.description
