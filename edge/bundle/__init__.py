"""Model bundles: finding, checking, installing and trying them."""
