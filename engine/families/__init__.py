"""Pipeline families: everything that differs between kinds of base models, behind one Protocol."""
