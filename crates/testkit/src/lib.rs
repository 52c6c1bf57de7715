//! Test helpers and doubles; never linked into the product.
