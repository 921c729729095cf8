//! Rules that would otherwise be paragraphs.
