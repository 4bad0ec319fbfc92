//! Serves every ui piece in its samples, to look at: `cargo run -p minkang-web --example gallery`, then open
//! `/gallery/record` and its siblings at the address that it prints.
#![allow(clippy::print_stdout)]

mod samples;

use std::sync::Arc;

use futures::future::BoxFuture;
use kernel::{Act, Caller, CallerKind, Line, Need, Result};
use maud::html;
use tokio::net::TcpListener;
use web::ui::{Field, Kind, field};
use web::{Access, Authenticator, Face, Frame, Routes, Site, build_app};

/// Everybody is one doctor.
struct Everybody;

impl Authenticator for Everybody {
    fn authenticate<'a>(&'a self, _: web::Asking<'a>) -> BoxFuture<'a, Result<Option<Arc<Caller>>>> {
        Box::pin(async {
            let mut caller = Caller::system("王秀英");
            caller.kind = CallerKind::Staff;
            caller.role = "乡镇医生".to_owned();
            caller.institution_name = "乙镇中心卫生院（虚构）".to_owned();
            Ok(Some(Arc::new(caller)))
        })
    }
}

const OPEN: Access = Access::Open("a gallery of invented samples");

fn menu() -> Vec<catalog::MenuItem> {
    let item = |group: &str, title: &str, icon: &str, path: &str| catalog::MenuItem {
        title: title.into(),
        icon: icon.into(),
        path: path.into(),
        need: Some(Need::new(Line::Medical, Act::Read)),
        group: group.into(),
    };
    vec![
        item("首页", "工作台", "layout-dashboard", "/gallery/empty"),
        item("健康档案", "居民查询", "search", "/gallery/record"),
        item("数据汇聚", "数据上传", "upload", "/gallery/batches"),
        item("数据质量", "质量监测", "activity", "/gallery/quality"),
        item("数据质量", "机构排名", "trophy", "/gallery/ranking"),
        item("平台管理", "账号", "users", "/gallery/form"),
    ]
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut routes = Routes::<()>::new().get("/sign-in", OPEN, async |frame: Frame| {
        frame.lone(
            "登录",
            html! {
                form method="post" action="/sign-in" {
                    (field(&Field { name: "login", label: "用户名", autocomplete: "username", focus: true, ..Field::default() }))
                    (field(&Field { name: "password", label: "口令", kind: Kind::Password, autocomplete: "current-password", ..Field::default() }))
                    button.btn.btn-primary.w-100 type="submit" { "登录" }
                }
            },
        )
    });
    for (name, title, body) in samples::pages() {
        let path = format!("/gallery/{name}");
        routes = routes.get(&path, OPEN, async move |frame: Frame| frame.page(title, body));
    }
    let site = Site {
        policy: Arc::default(),
        authenticator: Arc::new(Everybody),
        face: Face { platform: "全民健康信息平台".into(), place: "信阳市".into(), menu: menu() },
        embed_ancestors: vec![],
        trusted_proxies: vec![],
        by_tls_only: false,
    };
    let listener =
        TcpListener::bind("127.0.0.1:8699").await.map_err(|e| kernel::Error::fault("listen", e))?;
    println!("http://127.0.0.1:8699/gallery/record");
    web::serve::serve(listener, build_app(routes, site), async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await
}
