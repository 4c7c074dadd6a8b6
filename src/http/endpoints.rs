//! Endpoints: handlers, and the path and methods that each is annotated with.
//!
//! What is served and what the description says of it both follow from the annotations. The description is large, so
//! it is made only when somebody asks for it.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter};
use utoipa::Path;
use utoipa_axum::PathItemExt as _;
use utoipa_axum::router::OpenApiRouter;

use super::app_state::AppState;

/// Several endpoints.
#[derive(Default)]
pub struct Endpoints {
    router: Router<AppState>,
    described: Vec<Described>,
}

/// Describes what is served at one path.
type Described = fn() -> OpenApiRouter<AppState>;

/// What is served at one path; [`endpoint!`](crate::http::endpoints::endpoint) makes it.
pub struct Endpoint {
    path: String,
    methods: MethodRouter<AppState>,
    described: Described,
}

impl Endpoints {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    pub fn and(mut self, endpoint: Endpoint) -> Self {
        self.router = self.router.route(&endpoint.path, endpoint.methods);
        self.described.push(endpoint.described);
        self
    }

    /// And those.
    pub fn merge(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.described.extend(others.described);
        self
    }

    /// With something around what is served so far.
    pub fn within(mut self, layered: impl FnOnce(Router<AppState>) -> Router<AppState>) -> Self {
        self.router = layered(self.router);
        self
    }

    /// Serves them.
    pub fn into_router(self) -> Router<AppState> {
        self.router
    }

    /// Adds what describes them to that frame.
    pub fn describe(&self, frame: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
        let frame = OpenApiRouter::with_openapi(frame);
        let described = self.described.iter();
        described
            .fold(frame, |all, describe| all.merge(describe()))
            .into_openapi()
    }
}

impl Endpoint {
    /// Serves the path of `P`.
    pub fn at<P: Path>(described: Described) -> Self {
        Self {
            path: P::path(),
            methods: MethodRouter::new(),
            described,
        }
    }

    /// Serves the methods of `P` with its handler.
    ///
    /// # Panics
    ///
    /// If `P` is annotated with another path.
    pub fn serve<P: Path, T: 'static>(mut self, handler: impl Handler<T, AppState>) -> Self {
        assert_eq!(P::path(), self.path, "one endpoint is at one path");
        self.methods = self.methods.on(methods::<P>(), handler);
        self
    }

    /// Changes how its methods are served.
    pub fn map(
        mut self,
        change: impl FnOnce(MethodRouter<AppState>) -> MethodRouter<AppState>,
    ) -> Self {
        self.methods = change(self.methods);
        self
    }
}

/// The methods that the handler of that annotation serves: at least one.
fn methods<P: Path>() -> MethodFilter {
    let methods = P::methods();
    let mut each = methods.iter().map(|method| method.to_method_filter());
    let first = each.next().expect("a handler serves a method");
    each.fold(first, MethodFilter::or)
}

/// What is served at one path, by handlers that are annotated with it.
macro_rules! endpoint {
    ($($first:ident)::+ $(, $($other:ident)::+)*) => {
        $crate::http::endpoints::Endpoint::at::<
            $crate::http::endpoints::annotation!($($first)::+)
        >(|| {
            let described = utoipa_axum::routes!($($first)::+ $(, $($other)::+)*);
            utoipa_axum::router::OpenApiRouter::new().routes(described)
        })
        .serve::<$crate::http::endpoints::annotation!($($first)::+), _>($($first)::+)
        $(.serve::<$crate::http::endpoints::annotation!($($other)::+), _>($($other)::+))*
    };
}
pub(crate) use endpoint;

/// The type that `#[utoipa::path]` makes of a handler's annotation, next to the handler.
macro_rules! annotation {
    (@ [$($module:ident)*] $name:ident) => {
        utoipa_axum::paste! { $($module ::)* [<__path_ $name>] }
    };
    (@ [$($module:ident)*] $next:ident :: $($rest:ident)::+) => {
        $crate::http::endpoints::annotation!(@ [$($module)* $next] $($rest)::+)
    };
    ($($part:ident)::+) => {
        $crate::http::endpoints::annotation!(@ [] $($part)::+)
    };
}
pub(crate) use annotation;
