//! What a request asks of a window and of a job.

use super::{Fields, wrong_type};
use crate::domain::data_request::{DataRequest, Product};
use crate::domain::window::{OpenPolicy, ReferralSource};
use crate::flow::mint::Wishes;
use crate::http::problem::Problem;

impl Fields {
    /// What the request asks of a window.
    pub fn wishes(&self) -> Result<Wishes, Problem> {
        Ok(Wishes {
            referral_source: self.referral_source()?,
            client_redirect_url: self.short_text("client_redirect_url", 2_000)?,
            ui_message_webview_url_scheme: self.short_text("ui_message_webview_url_scheme", 64)?,
            skip_aggregation: self.flag("skip_aggregation")?,
            enable_app2app: self.flag("enable_app2app")?,
            open_policy: self.open_policy()?,
            link_minutes: self.whole_number("link_minutes")?,
            authorization_minutes: self.whole_number("authorization_minutes")?,
            ui_locales: self.short_text("ui_locales", 60)?,
        })
    }

    fn referral_source(&self) -> Result<ReferralSource, Problem> {
        let by_name = match self
            .text("referral_source")?
            .or(self.text("oauth_referral_source")?)
        {
            None => ReferralSource::Browser,
            Some(text) if text.eq_ignore_ascii_case("BROWSER") => ReferralSource::Browser,
            Some(text) if text.eq_ignore_ascii_case("APP") => ReferralSource::App,
            Some(_) => return Err(wrong_type("referral_source", "BROWSER or APP")),
        };
        // A mobile webview is an app, whatever else is said (contract section 6.2).
        let is_webview = self.flag("is_mobile_webview")?.unwrap_or(false);
        Ok(if is_webview {
            ReferralSource::App
        } else {
            by_name
        })
    }

    fn open_policy(&self) -> Result<Option<OpenPolicy>, Problem> {
        let Some(text) = self.text("open_policy")? else {
            return Ok(None);
        };
        let policy = match text.as_str() {
            "single" => OpenPolicy::Single,
            "interstitial" => OpenPolicy::Interstitial,
            "multi" => OpenPolicy::Multi,
            _ => return Err(wrong_type("open_policy", "single, interstitial or multi")),
        };
        Ok(Some(policy))
    }

    /// What a job is asked for: `data_request.products`, `include_transactions` and
    /// `include_holdings` (contract sections 1.4 and 2.2).
    pub fn data_request(&self) -> Result<DataRequest, Problem> {
        Ok(DataRequest {
            products: self.products()?,
            include_transactions: self.flag("include_transactions")?,
            include_holdings: self.flag("include_holdings")?,
        })
    }

    fn products(&self) -> Result<Vec<Product>, Problem> {
        let Some(request) = self.get("data_request") else {
            return Ok(Vec::new());
        };
        let products = match request.get("products") {
            None | Some(serde_json::Value::Null) if request.is_object() => return Ok(Vec::new()),
            products => products.cloned().map(serde_json::from_value),
        };
        let mut products: Vec<Product> = products.and_then(Result::ok).ok_or_else(|| {
            let names = Product::NAMES.join(", ");
            wrong_type(
                "data_request.products",
                &format!("a list of some of {names}"),
            )
        })?;
        let mut seen = Vec::new();
        products.retain(|product| {
            let is_new = !seen.contains(product);
            seen.push(*product);
            is_new
        });
        Ok(products)
    }
}
