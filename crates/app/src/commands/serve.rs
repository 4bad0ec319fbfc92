//! `minkang serve`: the platform as a service, until Ctrl-C or a termination signal.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use web::serve::{Tls, TlsFiles};

use crate::Common;
use crate::commands::open;
use crate::platform::Platform;

/// 启动平台
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// 监听地址
    #[arg(long, env = "MINKANG_LISTEN", default_value = "127.0.0.1:8686")]
    pub listen: SocketAddr,
    /// 用户访问平台的地址（在反向代理之后时），例如 https://health.example.cn；以 https 开头时 cookie 只经 TLS 发送
    #[arg(long, env = "MINKANG_BASE_URL")]
    pub base_url: Option<String>,
    /// 可信反向代理的 IP 地址，可多次给出；只采信它们转发的客户端地址
    #[arg(long = "trusted-proxy", env = "MINKANG_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpAddr>,
    /// 允许在框架中嵌入健康档案的医院系统地址，例如 https://his.example.org，可多次给出
    #[arg(long = "embed-ancestor", env = "MINKANG_EMBED_ANCESTORS", value_delimiter = ',')]
    pub embed_ancestors: Vec<String>,
    /// TLS 证书文件（PEM，含中间证书）；给出后只以 https 提供服务，文件更换后自动生效
    #[arg(long, env = "MINKANG_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<std::path::PathBuf>,
    /// TLS 私钥文件（PEM）
    #[arg(long, env = "MINKANG_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<std::path::PathBuf>,
    /// 客户端证书的签发机构（PEM）；给出后接受机构程序和工作人员出示的证书（双向 TLS）
    #[arg(long, env = "MINKANG_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<std::path::PathBuf>,
    /// 另外监听这个地址，把 http 访问转到 https，例如 0.0.0.0:80
    #[arg(long, env = "MINKANG_HTTP_REDIRECT", requires = "tls_cert")]
    pub http_redirect: Option<SocketAddr>,
    /// 前置目录（放入文件即自动上传）；缺省为数据目录下的 exchange
    #[arg(long)]
    pub inbox: Option<std::path::PathBuf>,
}

/// How often unfinished batches are looked for.
const ROUND: Duration = Duration::from_secs(15);

/// Half-received files are swept away every so many rounds.
const SWEEP_EVERY: u32 = 240;

/// A file that is being received for longer than this will never be whole.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// How long background work may take to end; what is cut off goes on at the next start.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the command.
pub async fn run(common: &Common, args: ServeArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    let base_url = args.base_url.clone().unwrap_or_else(|| format!("{scheme}://{}", args.listen));
    let base_url = base_url.trim_end_matches('/').to_owned();
    let platform = open(common, &base_url).await?;
    serve(platform, common, &args, began).await
}

/// Serves until a signal, then finishes requests in hand and stops what was started.
pub async fn serve(
    platform: Platform,
    common: &Common,
    args: &ServeArgs,
    began: Instant,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::open(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_authorities: args.tls_client_ca.clone(),
        })?),
        _ => None,
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|e| anyhow::anyhow!("不能在 {} 上监听：{e}。是否已有一个平台在运行？", args.listen))?;
    let site = web::serve::Site {
        face: web::frame::Face {
            place: common.place.clone(),
            menu: platform.catalog.menu.clone(),
            ..web::frame::Face::default()
        },
        policy: platform.identity.policy(),
        embed_ancestors: args.embed_ancestors.clone(),
        trusted_proxies: args.trusted_proxies.clone(),
        by_tls_only: tls.is_some(),
        ..web::serve::Site::new(platform.identity.authenticator())
    };
    let app = web::serve::build_app(platform.routes(), site);
    eprintln!(
        "平台已启动，用时 {:.1} 秒：{}://{}",
        began.elapsed().as_secs_f64(),
        if tls.is_some() { "https" } else { "http" },
        args.listen
    );

    let exchange = platform.exchange.clone();
    let background = {
        let (exchange, identity, stop) = (exchange.clone(), platform.identity.clone(), stop.clone());
        tokio::spawn(async move {
            // Batches that an earlier process left, and those whose database or disk came back; half-received files.
            let mut rounds = 0u32;
            loop {
                let before = (exchange.intake.parts().clock.now() - STALE).into();
                if rounds.is_multiple_of(SWEEP_EVERY)
                    && let Err(error) = exchange.intake.parts().objects.sweep(before).await
                {
                    tracing::warn!(%error, "sweep half-received files");
                }
                rounds = rounds.wrapping_add(1);
                if let Err(error) = identity.sso_round().await {
                    tracing::warn!(%error, "keep the single sign-on");
                }
                if let Err(error) = exchange.intake.resume().await {
                    tracing::warn!(%error, "resume batches");
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(ROUND) => {}
                }
            }
        })
    };
    let directory = platform.directory.clone();
    let following = tokio::spawn(async move {
        loop {
            if let Err(error) = directory.follow().await {
                tracing::warn!(%error, "follow the registries");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let (options, db) = (platform.options.clone(), platform.db.clone());
    let heeding = tokio::spawn(async move {
        loop {
            if let Err(error) = options.follow(&db).await {
                tracing::warn!(%error, "follow the settings");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let vault = platform.vault.clone();
    let minding = tokio::spawn(async move {
        loop {
            if let Err(error) = vault.follow().await {
                tracing::warn!(%error, "follow the keys");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let sealing = tokio::spawn(crate::commands::audit::keep_sealing(&platform, stop.clone()));
    // Registrations that are new or changed are found by scraps a second later.
    let (db, over) = (platform.db.clone(), stop.clone());
    let finding = tokio::spawn(async move {
        loop {
            match person::search::scraps::round(&db).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "keep the keys of the search"),
            }
            tokio::select! {
                () = over.cancelled() => break,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    });
    let rules = platform.identity.clone();
    let ruling = tokio::spawn(async move {
        loop {
            if let Err(error) = rules.follow_policy().await {
                tracing::warn!(%error, "follow the rules of pages");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let inbox = exchange::folder::Inbox::new(args.inbox.as_deref().unwrap_or(&common.data.join("exchange")));
    inbox.prepare().await?;
    let watching = tokio::spawn(inbox.watch(exchange));
    platform.identity.schedule_daily().await?;
    platform.person.schedule(platform.now()).await?;
    let jobs = platform.jobs.clone();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { jobs.run(2, async move { stop.cancelled().await }).await }
    });

    let renewing = tls.clone().map(|tls| tokio::spawn(renew(tls)));
    let redirecting = match args.http_redirect {
        Some(address) => Some(redirect(address, &platform.identity.base_url(), stop.clone()).await?),
        None => None,
    };

    let served = web::serve::serve_with(listener, tls, app, {
        let stop = stop.clone();
        async move {
            signal().await;
            eprintln!("正在停止…");
            stop.cancel();
        }
    })
    .await;
    stop.cancel();
    watching.abort();
    for task in [renewing, redirecting].into_iter().flatten() {
        task.abort();
    }
    following.abort();
    heeding.abort();
    ruling.abort();
    minding.abort();
    for mut task in [background, working, sealing, finding] {
        if tokio::time::timeout(GRACE, &mut task).await.is_err() {
            task.abort();
        }
    }
    platform.close().await?;
    eprintln!("已停止。");
    Ok(served?)
}

/// Reads certificate and key again when the files have changed, and on a hang-up signal.
async fn renew(tls: Tls) {
    let mut hang_up = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    loop {
        let asked = async {
            match &mut hang_up {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        let force = tokio::select! {
            () = asked => true,
            () = tokio::time::sleep(ROUND) => false,
        };
        match tls.reload(force) {
            Ok(true) => tracing::info!("the certificate was read again"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the earlier one serves on")
            }
        }
    }
}

/// Sends who comes in the clear to the platform's address.
async fn redirect(
    address: SocketAddr,
    base_url: &str,
    stop: CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| anyhow::anyhow!("不能在 {address} 上监听（http 转 https）：{e}"))?;
    let app = web::serve::redirect_to(base_url);
    Ok(tokio::spawn(async move {
        if let Err(error) = web::serve::serve(listener, app, async move { stop.cancelled().await }).await {
            tracing::warn!(%error, "send visitors to https");
        }
    }))
}

async fn signal() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}
