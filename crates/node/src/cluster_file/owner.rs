//! Who serves a scope that need not say so.
//!
//! A pair with one relationship is the common cluster, so its scopes may leave the name out, and a file with two nodes
//! may leave out the relationship itself.

use super::mistake::{Place, Problem};
use super::section::{ClusterSection, NodeSection, RelationshipSection, ScopeSection, unknown};
use serde_spanned::Spanned;
use standfast_core::configuration::ScopeOwner;

/// The name of the relationship that a file of two nodes has without saying so.
pub const IMPLICIT_RELATIONSHIP: &str = "pair";

/// The two nodes of the relationship that need not be written: the first is primary, the second standby.
pub(super) fn implicit_pair(file: &ClusterSection) -> Option<(&NodeSection, &NodeSection)> {
    match (&file.relationships[..], &file.nodes[..]) {
        ([], [first, second]) => Some((first.get_ref(), second.get_ref())),
        _ => None,
    }
}

/// Who serves `scope`; the place and what is wrong if the file does not say.
pub(super) fn owner(file: &ClusterSection, scope: &Spanned<ScopeSection>) -> Result<ScopeOwner, (Place, Problem)> {
    let relationships: Vec<&str> = if implicit_pair(file).is_some() {
        vec![IMPLICIT_RELATIONSHIP]
    } else {
        file.relationships.iter().filter_map(|relationship| relationship_name(relationship.get_ref())).collect()
    };
    let nodes: Vec<&str> = file.nodes.iter().filter_map(|node| node_name(node.get_ref())).collect();
    match (&scope.get_ref().relationship, &scope.get_ref().node) {
        (Some(_), Some(node)) => Err((
            node.span(),
            Problem::new("a scope has a relationship or a node of its own, not both", "remove one of the two"),
        )),
        (Some(name), None) => {
            let text = name.get_ref().0.as_str();
            let problem = || (name.span(), unknown("relationship", text, relationships.iter().copied()));
            relationships.contains(&text).then(|| ScopeOwner::Relationship(text.into())).ok_or_else(problem)
        }
        (None, Some(name)) => {
            let text = name.get_ref().0.as_str();
            let problem = || (name.span(), unknown("node", text, nodes.iter().copied()));
            nodes.contains(&text).then(|| ScopeOwner::Node(text.into())).ok_or_else(problem)
        }
        (None, None) => match (&relationships[..], &nodes[..]) {
            ([only], _) => Ok(ScopeOwner::Relationship((*only).into())),
            ([], [only]) => Ok(ScopeOwner::Node((*only).into())),
            _ => Err((
                scope.span(),
                Problem::new(
                    "this scope does not say who serves it",
                    "add `relationship = \"...\"` or `node = \"...\"`",
                ),
            )),
        },
    }
}

fn relationship_name(relationship: &RelationshipSection) -> Option<&str> {
    Some(&relationship.name.as_ref()?.get_ref().0)
}

fn node_name(node: &NodeSection) -> Option<&str> {
    Some(&node.name.as_ref()?.get_ref().0)
}
