//! Aggregations that a client orders.

use axum::http::{HeaderMap, StatusCode};

use super::Scope;
use crate::flow::access;
use crate::flow::order::{self, OrderRequest};
use crate::http::body::{Fields, callback_payload};
use crate::http::json;
use crate::http::problem::{ApiResult, Problem};
use crate::http::requests::PullRequestBody;
use crate::http::responses::{NexusMember, NexusMembersBody};

impl Scope<'_> {
    /// Orders an aggregation; its options are in the body or in the query.
    pub async fn aggregate(&self, member: &str, query: &str, body: &[u8]) -> ApiResult {
        access::enabled(self.user)?;
        let fields = Fields::of_request(body, query, "member")?;
        let request = order_request(&fields.take(), self.headers)?;
        let member = self.guid(member).await?;
        let ordered = order::order(self.gateway, self.client, self.user, member, request).await?;
        Ok(self.member_response(self.accepted(), &ordered))
    }

    /// Orders an aggregation of every member that can be aggregated. The response has all members.
    pub async fn aggregate_all(&self, query: &str, body: &[u8]) -> ApiResult {
        access::enabled(self.user)?;
        let fields = Fields::of_request(body, query, "member")?;
        let request = order_request(&fields.take(), self.headers)?;
        let ordered = order::order_all(self.gateway, self.client, self.user, request).await?;
        let members = ordered.iter();
        let members = members.map(NexusMember::of);
        let body = NexusMembersBody {
            members: members.collect(),
        };
        Ok(json::response(self.headers, StatusCode::OK, &body))
    }
}

/// The order that a request gives.
fn order_request(asked: &PullRequestBody, headers: &HeaderMap) -> Result<OrderRequest, Problem> {
    Ok(OrderRequest {
        data_request: asked.pull.data_request(&asked.data_request)?,
        callback_payload: callback_payload(headers)?,
        webhooks: asked.silence.webhooks(headers)?,
    })
}
