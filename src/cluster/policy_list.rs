//! A list of policies while it is received. Objects beyond the limits stay in the list, but lose their specs.

use crate::model::policy_resource::{MAX_PER_CLUSTER, MAX_PER_NAMESPACE, PolicyResource, ResourceSpec};
use jiff::Timestamp;
use std::collections::{BinaryHeap, HashMap};

/// The objects of one kind that were received so far.
#[derive(Default)]
pub(super) struct PolicyList {
    resources: Vec<PolicyResource>,
    /// The objects that count towards [`MAX_PER_CLUSTER`], and `surplus` objects that do not. The youngest is on top.
    of_cluster: BinaryHeap<Listed>,
    /// For each namespace, the objects that count towards [`MAX_PER_NAMESPACE`].
    of_namespaces: HashMap<Box<str>, BinaryHeap<Listed>>,
    /// How many objects in `of_cluster` have lost their specs by the limit of their namespace. They do not count towards the limit
    /// of the cluster, so that they displace no object of another namespace.
    surplus: usize,
}

/// Time of creation and name, by which objects are ordered as in `policy/resources`, and the index in `resources`.
type Listed = (Timestamp, Box<str>, usize);

impl PolicyList {
    /// Adds an object. If there are too many objects now, drops the spec of the youngest.
    pub(super) fn push(&mut self, resource: PolicyResource) {
        let listed = (resource.created_at, resource.key.to_string().into(), self.resources.len());
        let namespace = resource.key.namespace.clone();
        self.resources.push(resource);
        if let Some(namespace) = namespace {
            let of_namespace = self.of_namespaces.entry(namespace).or_default();
            of_namespace.push(listed.clone());
            if of_namespace.len() > MAX_PER_NAMESPACE && drop_youngest(&mut self.resources, of_namespace) {
                self.surplus += 1;
            }
        }
        self.of_cluster.push(listed);
        while self.of_cluster.len() - self.surplus > MAX_PER_CLUSTER {
            if !drop_youngest(&mut self.resources, &mut self.of_cluster) {
                self.surplus -= 1;
            }
        }
    }

    pub(super) fn into_resources(self) -> Vec<PolicyResource> {
        self.resources
    }
}

/// Removes the youngest object from the heap, and drops its spec. Returns whether it still had one.
fn drop_youngest(resources: &mut [PolicyResource], listed: &mut BinaryHeap<Listed>) -> bool {
    let youngest = listed.pop().and_then(|(_, _, index)| resources.get_mut(index));
    youngest
        .is_some_and(|youngest| std::mem::replace(&mut youngest.spec, ResourceSpec::Dropped) != ResourceSpec::Dropped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy_resource::ResourceKey;
    use serde_json::Value;

    fn listed(namespace: Option<&str>, at: usize, created_at: i64) -> PolicyResource {
        PolicyResource {
            key: ResourceKey { namespace: namespace.map(Into::into), name: format!("p-{at:06}").into() },
            uid: "u".into(),
            generation: 1,
            created_at: Timestamp::from_second(created_at).expect("a time"),
            updated_at: Timestamp::UNIX_EPOCH,
            updated_by: "kubectl".into(),
            spec: ResourceSpec::Complete(Value::Null),
            status: None,
        }
    }

    fn dropped(list: PolicyList) -> Vec<String> {
        let resources = list.into_resources().into_iter();
        resources.filter(|one| one.spec == ResourceSpec::Dropped).map(|one| one.key.to_string()).collect()
    }

    #[test]
    fn the_specs_of_the_youngest_beyond_a_limit_are_dropped() {
        let mut list = PolicyList::default();
        for at in 0..MAX_PER_NAMESPACE + 2 {
            // The first two are the youngest.
            list.push(listed(Some("team-a"), at, if at < 2 { 9 } else { 1 }));
        }
        list.push(listed(Some("team-b"), 0, 10));
        assert_eq!(dropped(list), ["team-a/p-000000", "team-a/p-000001"]);
        let mut list = PolicyList::default();
        (0..=MAX_PER_CLUSTER).for_each(|at| list.push(listed(None, at, 1)));
        assert_eq!(dropped(list), ["p-050000"], "of objects with the same creation time, the last name loses its spec");
    }

    #[test]
    fn objects_beyond_the_limit_of_their_namespace_do_not_count_for_the_cluster() {
        for of_cluster in [MAX_PER_CLUSTER - MAX_PER_NAMESPACE - 1, MAX_PER_CLUSTER - MAX_PER_NAMESPACE] {
            let mut list = PolicyList::default();
            (0..of_cluster).for_each(|at| list.push(listed(None, at, 2)));
            (0..MAX_PER_NAMESPACE * 2).for_each(|at| list.push(listed(Some("team-a"), at, 1)));
            list.push(listed(Some("team-b"), 0, 10));
            (0..MAX_PER_NAMESPACE).for_each(|at| list.push(listed(Some("team-a"), MAX_PER_NAMESPACE * 2 + at, 1)));
            let dropped = dropped(list);
            // If there is one object too many for the cluster, it is the youngest of all, which is that of team-b.
            let too_many = usize::from(of_cluster + MAX_PER_NAMESPACE == MAX_PER_CLUSTER);
            assert_eq!(dropped.iter().filter(|name| !name.starts_with("team-a/")).count(), too_many);
            assert_eq!(dropped.len(), MAX_PER_NAMESPACE * 2 + too_many);
        }
    }
}
