"""Single cells cut out of photographs of fields, by an estimate of where their nuclei are."""
