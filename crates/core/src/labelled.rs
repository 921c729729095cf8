//! Enums whose values have a label for metrics and transcripts and a sentence for people: reasons of silence, proofs of
//! partner-down, cases of merging. Each value is written down once, so that a list of all of them is never short of one.

/// An enum each of whose values has a label; what its comment says is what people are told.
macro_rules! labelled {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $value:ident = $label:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[doc = $doc])+ $value,)+ }

        impl $name {
            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// As a metric label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $label,)+ }
            }

            /// As a sentence for people.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$value => concat!($($doc),+).trim_ascii_start(),)+ }
            }
        }
    };
}
pub(crate) use labelled;
