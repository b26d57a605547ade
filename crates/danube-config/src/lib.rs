//! What users write down: static metadata of a danubefile.
