"""The differential count: specimen, shares with intervals, the table, and its part of the page."""
