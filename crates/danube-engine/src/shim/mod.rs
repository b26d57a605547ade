//! Speaking to shims: the connection ([`link`]), following a step to its end ([`follow`]), moving files
//! ([`transfer`]). A shim lives in the tenant's house: nothing it says is believed without bounds.

pub mod link;
