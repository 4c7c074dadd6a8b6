//! The banks, as the configuration has them: found by code and by guid, listed by name, searched.
//!
//! The configuration is read once, so everything is sorted and prepared once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::id::{InstitutionCode, InstitutionGuid};
use crate::domain::institution::Institution;

/// The banks.
#[derive(Default)]
pub struct Institutions {
    /// By name and then by code.
    listed: Vec<Listed>,
    by_code: HashMap<InstitutionCode, Arc<Institution>>,
    by_guid: HashMap<InstitutionGuid, Arc<Institution>>,
    /// Those whose file says that they are not used for now.
    in_maintenance: Vec<Arc<Institution>>,
}

struct Listed {
    institution: Arc<Institution>,
    /// Its name in lower case: what is searched.
    name: String,
}

/// Which institutions a listing shows.
#[derive(Clone, Debug, Default)]
pub struct InstitutionFilter {
    /// Part of the name, in lower case.
    name: Option<String>,
    /// Country codes; empty: all.
    countries: Vec<String>,
}

impl InstitutionFilter {
    /// Those with `name` in their name, in one of these countries. Upper and lower case are the same.
    pub fn new(name: Option<String>, countries: Vec<String>) -> Self {
        let name = name.map(|name| name.to_lowercase());
        Self { name, countries }
    }

    fn admits(&self, listed: &Listed) -> bool {
        let is_there = |country: &String| {
            let own = listed.institution.iso_country_code.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(country))
        };
        let has_name = |name: &String| listed.name.contains(name);
        self.name.as_ref().is_none_or(has_name)
            && (self.countries.is_empty() || self.countries.iter().any(is_there))
    }
}

impl Institutions {
    /// Of these institutions.
    pub fn new(institutions: impl IntoIterator<Item = Institution>) -> Self {
        let mut all: Vec<_> = institutions.into_iter().map(Arc::new).collect();
        all.sort_by(|a, b| (&a.name, &a.code).cmp(&(&b.name, &b.code)));
        let listed = |institution: &Arc<Institution>| Listed {
            name: institution.name.to_lowercase(),
            institution: institution.clone(),
        };
        let in_maintenance = all.iter().filter(|it| it.maintenance.is_some());
        Self {
            in_maintenance: in_maintenance.cloned().collect(),
            listed: all.iter().map(listed).collect(),
            by_guid: all.iter().map(|it| (it.guid, it.clone())).collect(),
            by_code: all.into_iter().map(|it| (it.code.clone(), it)).collect(),
        }
    }

    /// The institution of that code.
    pub fn get(&self, code: &InstitutionCode) -> Option<&Arc<Institution>> {
        self.by_code.get(code)
    }

    /// The institution of that guid.
    pub fn by_guid(&self, guid: InstitutionGuid) -> Option<&Arc<Institution>> {
        self.by_guid.get(&guid)
    }

    /// Those whose file says that they are not used for now; perhaps that is over.
    pub(super) fn in_maintenance(&self) -> &[Arc<Institution>] {
        &self.in_maintenance
    }

    /// Those whose file says that a change of what they publish is told.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Arc<Institution>> {
        let is_watched = |it: &&Arc<Institution>| {
            let oauth = it.oauth.as_ref();
            oauth.is_some_and(|oauth| oauth.discovery.is_watched)
        };
        let all = self.listed.iter().map(|listed| &listed.institution);
        all.filter(is_watched)
    }

    /// Those that the filter admits, by name and then by code.
    pub fn listed<'a>(
        &'a self,
        filter: &'a InstitutionFilter,
    ) -> impl Iterator<Item = &'a Arc<Institution>> {
        let admitted = self.listed.iter().filter(|listed| filter.admits(listed));
        admitted.map(|listed| &listed.institution)
    }
}
