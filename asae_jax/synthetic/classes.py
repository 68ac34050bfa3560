"""The 14 classes of the paper, what each looks like, and how often it is met.

One `Morphology` per class is the typical cell of that class. A cell is drawn between the typical cells
of its lineage (`LINEAGES`) at a continuous maturity, so that neighbours in a lineage overlap the way
adjacent stages do under the microscope. Lengths are in micrometres, so nothing here depends on the
size of the picture.

The ranges follow the usual descriptions of marrow cytology (e.g. Bain, Clark and Wilkins, *Bone Marrow
Pathology*, ch. 1); the class names and their order are the paper's, section 4.1.
"""

from dataclasses import dataclass

CLASS_NAMES = (
    "OTHN", "POLN", "ORTN", "PRIL", "MATL", "PLAS", "MYEB",
    "PROM", "MYEL", "METM", "STAG", "SEGG", "OTHG", "MONO",
)  # fmt: skip
"""The paper's classes in the paper's order."""

CLASS_COUNTS = {
    "OTHN": 560, "POLN": 2100, "ORTN": 1250, "PRIL": 1300, "MATL": 1850, "PLAS": 260, "MYEB": 900,
    "PROM": 640, "MYEL": 1280, "METM": 1120, "STAG": 1560, "SEGG": 1952, "OTHG": 330, "MONO": 150,
}  # fmt: skip
"""Images per class in the full set: 15,252 as in the paper, whose own counts are only in a figure. The
shares are those of a marrow differential; monocytes are so few that an unbalanced batch of 84 often
holds none or one, which is what the paper saw (section 4.3)."""

MATURITY_SPREAD = 0.35
"""Standard deviation of a cell's maturity around its class's place in the lineage (neighbours are 1
apart). Even one who knows lineage and maturity exactly is right for about nine cells in ten."""


@dataclass(frozen=True)
class Morphology:
    """What a cell looks like. Lengths in micrometres, dye amounts in units of a strong stain."""

    diameter: float
    nuclear_fraction: float  # area of the nucleus / area of the cell, the N:C ratio
    eccentricity: float  # 0: nucleus in the middle, 1: touching the outline
    cell_irregularity: float = 0.25  # displacement of the outline
    thickness: float = 1.0  # half width of the nucleus / radius of a disc of its area: 1 round, 0.56 a band
    bend: float = 2.0  # total turn of a long nucleus from end to end, radians
    pinch: float = 0.0  # 0: even band, 1: lobes joined by filaments
    lobes: float = 3.0
    nucleus_irregularity: float = 0.2
    chromatin: float = 0.9  # dye bound by the nucleus
    clumping: float = 0.3  # 0: fine, even or lacy; 1: clumps
    clump_size: float = 0.7
    contrast: float = 0.3  # of chromatin against parachromatin
    clock_face: float = 0.0  # clumps along the nuclear membrane
    nucleoli: float = 0.0  # mean number
    basophilia: float = 0.3  # blue of the cytoplasm (RNA)
    eosin: float = 0.1  # pink of the cytoplasm
    haemoglobin: float = 0.0
    rim: float = 0.2  # deeper colour towards the outline
    halo: float = 0.1  # pale zone beside the nucleus (Golgi)
    azurophil: float = 0.0  # primary granules: purple
    neutrophil: float = 0.0  # secondary granules: fine, lilac
    acidophil: float = 0.0  # eosinophil granules: large, orange
    basophil: float = 0.0  # basophil granules: large, dark purple, over the nucleus too
    vacuoles: float = 0.0  # mean number


TYPICAL = {
    # Large round nucleus, fine chromatin, a pale nucleolus or two; the bluest cytoplasm of the marrow.
    "OTHN": Morphology(
        15.5, 0.66, 0.15, chromatin=0.95, clumping=0.35, clump_size=0.6, contrast=0.28, nucleoli=0.7,
        basophilia=0.85, eosin=0.1, rim=0.5, halo=0.25, nucleus_irregularity=0.1,
    ),
    # Smaller; chromatin in a checkerboard; haemoglobin greys the blue cytoplasm.
    "POLN": Morphology(
        11.5, 0.47, 0.2, chromatin=1.05, clumping=0.95, clump_size=0.9, contrast=0.5,
        basophilia=0.42, eosin=0.15, haemoglobin=0.25, rim=0.15, nucleus_irregularity=0.1,
    ),
    # Small, dense (pyknotic), often eccentric nucleus; cytoplasm almost that of a red cell.
    "ORTN": Morphology(
        9.6, 0.26, 0.5, chromatin=1.45, clumping=0.5, clump_size=0.8, contrast=0.12,
        basophilia=0.12, eosin=0.15, haemoglobin=0.42, rim=0.05, nucleus_irregularity=0.1,
    ),
    # Nucleus fills the cell, fine even chromatin, one or two nucleoli, a thin blue rim.
    "PRIL": Morphology(
        13.0, 0.80, 0.35, chromatin=0.85, clumping=0.3, clump_size=0.6, contrast=0.22, nucleoli=1.5,
        basophilia=0.45, eosin=0.06, rim=0.2, nucleus_irregularity=0.35,
    ),
    # Small; dense chromatin in blurred blocks; thin sky-blue rim.
    "MATL": Morphology(
        9.8, 0.70, 0.45, chromatin=1.2, clumping=0.9, clump_size=1.1, contrast=0.28,
        basophilia=0.28, eosin=0.06, rim=0.1, nucleus_irregularity=0.25, azurophil=0.04,
    ),
    # Oval cell, round nucleus at one end, clock-face chromatin, deep blue cytoplasm with a pale hof.
    "PLAS": Morphology(
        14.5, 0.33, 0.85, chromatin=1.1, clumping=0.8, clump_size=1.0, contrast=0.4, clock_face=0.8,
        basophilia=0.8, eosin=0.18, rim=0.4, halo=0.75, cell_irregularity=0.45, vacuoles=0.6,
        nucleus_irregularity=0.1,
    ),
    # Fine chromatin, two to five nucleoli, scant blue cytoplasm without granules.
    "MYEB": Morphology(
        15.5, 0.72, 0.3, chromatin=0.8, clumping=0.12, clump_size=0.5, contrast=0.22, nucleoli=3.2,
        basophilia=0.45, eosin=0.06, rim=0.25, cell_irregularity=0.35, nucleus_irregularity=0.3,
    ),
    # The largest of the line; eccentric nucleus, nucleoli still seen, coarse purple granules, pale hof.
    "PROM": Morphology(
        18.5, 0.54, 0.6, chromatin=0.85, clumping=0.25, clump_size=0.6, contrast=0.28, nucleoli=1.4,
        basophilia=0.42, eosin=0.12, rim=0.25, halo=0.5, azurophil=0.9, cell_irregularity=0.35,
        nucleus_irregularity=0.35,
    ),
    # Round or oval eccentric nucleus without nucleoli; lilac granules fill a pinkish cytoplasm.
    "MYEL": Morphology(
        15.5, 0.45, 0.65, thickness=0.92, bend=1.0, chromatin=0.95, clumping=0.55, clump_size=0.8,
        contrast=0.35, basophilia=0.2, eosin=0.25, rim=0.1, halo=0.35, azurophil=0.2, neutrophil=0.5,
    ),
    # Kidney-shaped nucleus.
    "METM": Morphology(
        14.5, 0.41, 0.45, thickness=0.64, bend=2.6, chromatin=1.05, clumping=0.75, clump_size=0.9,
        contrast=0.38, basophilia=0.1, eosin=0.28, rim=0.05, halo=0.2, azurophil=0.06, neutrophil=0.6,
    ),
    # Band or horseshoe of even width.
    "STAG": Morphology(
        13.5, 0.34, 0.2, thickness=0.45, bend=3.3, pinch=0.12, chromatin=1.15, clumping=0.85, clump_size=0.9,
        contrast=0.38, basophilia=0.06, eosin=0.28, rim=0.05, neutrophil=0.6,
    ),
    # Two to five lobes joined by thin filaments.
    "SEGG": Morphology(
        13.2, 0.30, 0.1, thickness=0.45, bend=3.8, pinch=0.97, lobes=3.4, nucleus_irregularity=0.35,
        chromatin=1.2, clumping=0.9, clump_size=0.9, contrast=0.36, basophilia=0.04,
        eosin=0.28, rim=0.05, neutrophil=0.6,
    ),
    # Large folded nucleus, lacy chromatin, grey-blue cytoplasm like ground glass with vacuoles.
    "MONO": Morphology(
        17.0, 0.48, 0.35, thickness=0.6, bend=3.0, pinch=0.08, chromatin=0.85, clumping=0.2, clump_size=0.7,
        contrast=0.38, basophilia=0.3, eosin=0.12, rim=0.05, azurophil=0.07, vacuoles=4.0,
        cell_irregularity=0.7, nucleus_irregularity=0.6,
    ),
}  # fmt: skip
"""The typical cell of each class. OTHG is drawn from the neutrophil line with other granules."""

SPREAD = Morphology(
    diameter=0.09, nuclear_fraction=0.09, eccentricity=0.35, cell_irregularity=0.4, thickness=0.04,
    bend=0.2, pinch=0.12, lobes=0.22, nucleus_irregularity=0.4, chromatin=0.12, clumping=0.2,
    clump_size=0.15, contrast=0.2, clock_face=0.25, nucleoli=0.0, basophilia=0.3, eosin=0.35,
    haemoglobin=0.3, rim=0.4, halo=0.35, azurophil=0.35, neutrophil=0.35, acidophil=0.2,
    basophil=0.2, vacuoles=0.3,
)  # fmt: skip
"""Standard deviation of the logarithm of each quantity from cell to cell."""

LINEAGES = {
    "erythroid": ("OTHN", "POLN", "ORTN"),
    "lymphoid": ("PRIL", "MATL", "PLAS"),
    "myeloid": ("MYEB", "PROM", "MYEL", "METM", "STAG", "SEGG"),
    "monocytic": ("MYEB", "MONO"),
}
"""Chains of increasing maturity; the places 0, 1, 2, ... of a chain are its typical cells. A monocyte of
low maturity is a promonocyte and looks like a blast; plasma cells come from lymphocytes."""

PLACE = {
    "OTHN": ("erythroid", 0), "POLN": ("erythroid", 1), "ORTN": ("erythroid", 2),
    "PRIL": ("lymphoid", 0), "MATL": ("lymphoid", 1), "PLAS": ("lymphoid", 2),
    "MYEB": ("myeloid", 0), "PROM": ("myeloid", 1), "MYEL": ("myeloid", 2),
    "METM": ("myeloid", 3), "STAG": ("myeloid", 4), "SEGG": ("myeloid", 5),
    "OTHG": ("myeloid", 4.3), "MONO": ("monocytic", 1),
}  # fmt: skip
"""Lineage and place of each class. Other granulocytes take their nucleus from the neutrophil line."""

EOSINOPHIL_SHARE = 0.75
"""Share of eosinophils among other granulocytes; the rest are basophils."""
