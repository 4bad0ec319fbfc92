//! `minkang demo`: a demonstration city, made once and sent through the real intake, then served.
//!
//! The files are the same for the same plan, and each carries a request key of its own: a run that was interrupted goes
//! on where it stopped, a second start finds the city done. Files arrive as they would have: the history by quarters,
//! the last thirty days day by day shortly after midnight, some files late.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use contracts::{Institutions, NewInstitution};
use demo::{City, Manifest, Plan, Upload};
use exchange::intake::{Door, Submission};
use futures::{TryStreamExt, stream};
use identity::{NewAccount, Persona};
use indicatif::{ProgressBar, ProgressStyle};
use kernel::access::InstitutionId;
use kernel::clock::CHINA_OFFSET_SECONDS;
use kernel::{Act, Caller, Clock, Line, Need, Purpose, Reach, RegionCode, SystemClock};
use store::{DbDoing, Migration};
use tokio_util::sync::CancellationToken;

use crate::Common;
use crate::commands::open;
use crate::commands::serve::{ServeArgs, serve};
use crate::platform::{Platform, read_catalog};

/// The command's table.
pub const MIGRATIONS: &[Migration] = &[Migration {
    context: "app",
    name: "0001_demo_city",
    sql: include_str!("../../migrations/0001_demo_city.sql"),
}];

/// The password of every demonstration account. It is public: the city holds nobody's data.
const PASSWORD: &str = "Yanshi@City8";

/// Institutions whose files are sent at once; intake works on two batches at a time.
const AT_ONCE: usize = 3;

/// The list of divisions that is embedded in the program.
const DIVISIONS: &str = "divisions.tsv.gz";

/// 建立演示城市并启动平台
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// 居民人数
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(200..=2_000_000))]
    pub people: u32,
    /// 数据年数
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub years: u32,
    /// 随机种子：同样的种子得到同样的城市
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// 区划代码：市（4 位）或县（6 位）
    #[arg(long, default_value = "4115")]
    pub prefix: String,
    /// 监听地址
    #[arg(long, env = "MINKANG_LISTEN", default_value = "127.0.0.1:8686")]
    pub listen: SocketAddr,
    /// 建好后不启动平台
    #[arg(long)]
    pub no_serve: bool,
    /// 只把上传文件写到这个目录，不使用数据库
    #[arg(long, value_name = "DIR")]
    pub files_only: Option<PathBuf>,
}

impl DemoArgs {
    fn plan(&self) -> Result<Plan> {
        if !matches!(self.prefix.len(), 4 | 6) || !self.prefix.bytes().all(|b| b.is_ascii_digit()) {
            bail!("--prefix 应为 4 位（市）或 6 位（县）的区划代码，例如信阳市是 4115。");
        }
        Ok(Plan {
            people: self.people as usize,
            years: self.years,
            seed: self.seed,
            prefix: self.prefix.clone(),
            until: SystemClock.local().with_second_zero(),
            mistakes: true,
        })
    }
}

/// Whole minutes: the present is a part of the plan and reads better so.
trait Minute {
    fn with_second_zero(self) -> Self;
}

impl Minute for chrono::NaiveDateTime {
    fn with_second_zero(self) -> Self {
        use chrono::Timelike;
        self.with_second(0).and_then(|t| t.with_nanosecond(0)).unwrap_or(self)
    }
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, args: DemoArgs) -> Result<()> {
    let began = Instant::now();
    let wanted = args.plan()?;
    if let Some(folder) = args.files_only.clone() {
        let catalog = read_catalog(common.catalog_dir.as_deref())?;
        let city = lay_out(&wanted)?;
        let manifest = write_files(wanted, city, catalog.into(), folder.clone()).await?;
        println!(
            "已写出 {} 个文件，{} 行，居民 {} 人：{}",
            manifest.uploads.len(),
            manifest.rows,
            manifest.people,
            folder.display()
        );
        return Ok(());
    }
    let platform = open(common, &address(args.listen)).await?;
    let built = tokio::select! {
        built = build(&platform, common, &wanted) => built,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!(
            "已停下。再次运行 minkang demo 会从停下的地方继续。"
        )),
    };
    let city = match built {
        Ok(city) => city,
        Err(error) => {
            platform.close().await?;
            return Err(error);
        }
    };
    introduce(&city, common, &args);
    if args.no_serve {
        return platform.close().await;
    }
    let base_url = Some(address(args.listen));
    let mut common = common.clone();
    if common.place.is_empty() {
        common.place = format!("{}（演示）", city.name);
    }
    let args = ServeArgs {
        tls_cert: None,
        tls_key: None,
        tls_client_ca: None,
        http_redirect: None,
        listen: args.listen,
        base_url,
        trusted_proxies: Vec::new(),
        embed_ancestors: Vec::new(),
        inbox: None,
    };
    serve(platform, &common, &args, began).await
}

/// Where browsers on this machine find the program. By name: they know no passkeys at the number of a machine.
fn address(listen: SocketAddr) -> String {
    if listen.ip().is_loopback() && listen.is_ipv4() {
        format!("http://localhost:{}", listen.port())
    } else {
        format!("http://{listen}")
    }
}

/// The city of a plan, in the divisions that the program ships.
fn lay_out(plan: &Plan) -> Result<City> {
    let list = web::assets::embedded(DIVISIONS)
        .context("程序中没有行政区划清单。请运行 scripts/assets.sh，再重新编译。")?;
    Ok(demo::lay_out(plan, &demo::read_divisions(&list[..], &plan.prefix)?)?)
}

/// Makes the city, or what is left to do of it.
async fn build(platform: &Platform, common: &Common, wanted: &Plan) -> Result<City> {
    let (plan, done) = begin(platform, wanted).await?;
    if done {
        if (Plan { until: plan.until, ..wanted.clone() }) != plan {
            eprintln!(
                "数据库中已有演示城市（{} 人、{} 年、种子 {}、区划 {}），沿用它。要另建一个，请换一个数据目录（--data）。",
                plan.people, plan.years, plan.seed, plan.prefix
            );
        }
        return lay_out(&plan);
    }
    let report = platform.directory.load_shipped_regions(&plan.prefix).await?;
    eprintln!("行政区划：{} 个。", report.found);
    let city = lay_out(&plan)?;
    let ids = register(platform, &city).await?;
    eprintln!("机构：{} 个（均为虚构，名称带“（演示）”）。", ids.len());
    registers(platform, &plan, &city).await?;
    accounts(platform, &city, &ids).await?;
    passwords_alone(platform).await?;
    client(platform, common, &city, &ids).await?;

    let folder = common.data.join("demo/uploads");
    let manifest = match demo::written(&plan, &folder) {
        Some(manifest) => manifest,
        None => write_files(plan.clone(), lay_out(&plan)?, platform.catalog.clone(), folder.clone()).await?,
    };
    send(platform, &plan, &manifest, &folder, &ids).await?;
    finish(platform, &manifest).await?;
    Ok(city)
}

/// The plan of the city in the database, which is the wanted one when there is none yet, and whether it is done.
async fn begin(platform: &Platform, wanted: &Plan) -> Result<(Plan, bool)> {
    sqlx::query(
        "insert into demo_city (plan, state, started_at) values ($1, 'making', $2) on conflict do nothing",
    )
    .bind(serde_json::to_value(wanted)?)
    .bind(SystemClock.now())
    .execute(platform.db.pool())
    .await
    .db("begin the demonstration city")?;
    let (plan, state): (serde_json::Value, String) = sqlx::query_as("select plan, state from demo_city")
        .fetch_one(platform.db.pool())
        .await
        .db("read the demonstration city")?;
    let plan =
        serde_json::from_value(plan).context("数据库中演示城市的记录不能读懂，请换一个数据目录（--data）")?;
    Ok((plan, state == "done"))
}

async fn register(platform: &Platform, city: &City) -> Result<Vec<InstitutionId>> {
    let mut ids = Vec::with_capacity(city.institutions.len());
    for institution in &city.institutions {
        let new = NewInstitution {
            code: institution.code.clone(),
            name: institution.name.clone(),
            class: institution.class.to_owned(),
            sender_class: institution.sender_class().to_owned(),
            region: institution.region,
            invented: true,
        };
        ids.push(platform.directory.register(new).await?);
    }
    Ok(ids)
}

/// One of the accounts: login, name, role, the institution it belongs to, its division, what it is for.
struct Role {
    login: &'static str,
    name: &'static str,
    role: &'static str,
    institution: Option<usize>,
    region: RegionCode,
    about: String,
}

fn roles(city: &City) -> Vec<Role> {
    // The last county: its hospital is not the city's, so that spans can be told apart.
    let county = &city.counties[city.counties.len() - 1];
    let town = &county.townships[0];
    let whole = city.institutions[city.hospital].region;
    let own = |institution: usize| {
        let unit = &city.institutions[institution];
        (Some(institution), unit.region, unit.name.clone())
    };
    let role = |login, name, role, (institution, region, about)| Role {
        login,
        name,
        role,
        institution,
        region,
        about,
    };
    vec![
        role("shuju", "舒明", "city_data_manager", (None, whole, format!("{}：各机构上传与质量", city.name))),
        role(
            "xian",
            "项安",
            "county_administrator",
            (None, county.division.code, format!("{}：本县区机构", county.division.name)),
        ),
        role("gongcheng", "龚程", "hospital_engineer", own(county.hospital)),
        role("yisheng", "易笙", "township_doctor", own(town.centre)),
        role("shenji", "沈济", "auditor", (None, whole, format!("{}：审计日志", city.name))),
        role(
            "guanli",
            "关立",
            "platform_operator",
            (None, whole, format!("{}：机构、账号、接入", city.name)),
        ),
        role(
            "anquan",
            "安荃",
            "security_administrator",
            (None, whole, format!("{}：角色授权、页面策略", city.name)),
        ),
        role(
            "weijian",
            "卫健",
            "city_administrator",
            (None, whole, format!("{}：各单位账号与岗位", city.name)),
        ),
        role(
            "zhuren",
            "朱任",
            "county_director",
            (None, county.division.code, format!("{}：审批例外授权", county.division.name)),
        ),
        role(
            "hedui",
            "何对",
            "index_reviewer",
            (None, county.division.code, format!("{}：核对可能是同一人的登记", county.division.name)),
        ),
        role("suoyin", "索颖", "index_supervisor", (None, whole, format!("{}：居民主索引", city.name))),
        role(
            "juzhang",
            "鞠章",
            "commission_director",
            (None, whole, format!("{}：审批区划调整等申请", city.name)),
        ),
    ]
}

/// The number under which somebody with a demonstration account stands in the register of staff.
fn staff_no(login: &str) -> String {
    format!("YS-{login}")
}

/// Fills the registers: institutions in full, departments, beds, equipment, vehicles, licences, staff.
async fn registers(platform: &Platform, plan: &Plan, city: &City) -> Result<()> {
    let known: Vec<demo::registers::Known> = roles(city)
        .into_iter()
        .filter_map(|role| {
            Some(demo::registers::Known {
                institution: role.institution?,
                staff_no: staff_no(role.login),
                name: role.name.to_owned(),
                doctor: role.role.ends_with("_doctor"),
            })
        })
        .collect();
    let mut by_register: Vec<(&str, Vec<Vec<(&'static str, String)>>)> = Vec::new();
    for row in demo::registers::registers(plan, city, &known) {
        match by_register.iter_mut().find(|(register, _)| *register == row.register) {
            Some((_, rows)) => rows.push(row.fields),
            None => by_register.push((row.register, vec![row.fields])),
        }
    }
    let by = Caller::system("演示");
    let mut entries = 0;
    for (register, rows) in &by_register {
        platform.registries.bring(&by, register, rows, "演示城市").await?;
        entries += rows.len();
    }
    eprintln!("注册信息：{entries} 条（科室、床位、设备、人员等）。");
    Ok(())
}

async fn accounts(platform: &Platform, city: &City, ids: &[InstitutionId]) -> Result<()> {
    for role in roles(city) {
        let account = NewAccount {
            login: role.login.to_owned(),
            name: role.name.to_owned(),
            staff_no: role.institution.map(|_| staff_no(role.login)).unwrap_or_default(),
            role: role.role.to_owned(),
            institution: role.institution.and_then(|i| ids.get(i).copied()),
            region: role.region,
        };
        platform.identity.ensure_persona(&Persona { account, password: PASSWORD.to_owned() }).await?;
    }
    Ok(())
}

/// The accounts of a demonstration are shared: their password alone opens them. Said on the page of settings.
async fn passwords_alone(platform: &Platform) -> Result<()> {
    let none = catalog::SettingValue::Text("none".to_owned());
    let by = kernel::Caller::system("minkang demo");
    let reason = "演示账号由多人共用，只用公开的密码登录；正式环境请恢复缺省";
    let now = SystemClock.now();
    platform.options.set(&platform.db, &by, now, "sign_in.second_factor", Some(none), reason).await?;
    Ok(())
}

/// A machine client of the county hospital, once; its secret lies beside the uploads.
async fn client(platform: &Platform, common: &Common, city: &City, ids: &[InstitutionId]) -> Result<()> {
    let hospital = city.counties[city.counties.len() - 1].hospital;
    let Some(id) = ids.get(hospital) else { return Ok(()) };
    if !platform.identity.clients_of(*id).await?.is_empty() {
        return Ok(());
    }
    let issued = platform.identity.create_client(*id, "演示上传", &Caller::system("演示")).await?;
    let text = format!(
        "机构={}\n客户端={}\n密钥={}\n链接签名键={}\n",
        city.institutions[hospital].name, issued.client_id, issued.secret, issued.link_key
    );
    let path = client_path(common);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("不能创建 {}", folder.display()))?;
    }
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("不能写 {}", path.display()))
}

fn client_path(common: &Common) -> PathBuf {
    common.data.join("demo/client.txt")
}

/// Writes the upload files off the async threads.
async fn write_files(
    plan: Plan,
    city: City,
    catalog: std::sync::Arc<catalog::Catalog>,
    folder: PathBuf,
) -> Result<Manifest> {
    let bar = progress(plan.people as u64, "编写居民");
    let manifest = tokio::task::spawn_blocking(move || {
        let manifest = demo::generate(&plan, &city, &catalog, &folder, |people| bar.set_position(people));
        bar.finish_and_clear();
        manifest
    })
    .await??;
    eprintln!("上传文件：{} 个，{} 行，居民 {} 人。", manifest.uploads.len(), manifest.rows, manifest.people);
    Ok(manifest)
}

fn progress(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style =
        ProgressStyle::with_template("{prefix} {bar:32} {human_pos}/{human_len}，每秒 {per_sec}，还需 {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    bar
}

/// Sends every file through the intake, day after day; each institution's files in their order.
async fn send(
    platform: &Platform,
    plan: &Plan,
    manifest: &Manifest,
    folder: &Path,
    ids: &[InstitutionId],
) -> Result<()> {
    let began = Instant::now();
    // Batches of an interrupted run whose bytes are safe already.
    platform.exchange.intake.resume().await?;
    let by_code: BTreeMap<&str, InstitutionId> = {
        let all = platform.directory.all();
        let known: BTreeMap<InstitutionId, String> = all.iter().map(|c| (c.id, c.code.clone())).collect();
        manifest
            .uploads
            .iter()
            .map(|u| u.institution.as_str())
            .filter_map(|code| {
                ids.iter().find(|id| known.get(id).is_some_and(|c| c == code)).map(|id| (code, *id))
            })
            .collect()
    };
    let reach =
        Caller::system("演示").decide(Need::new(Line::Exchange, Act::Write), Purpose::of("upload"))?;
    let bar = progress(manifest.rows, "归集入库");
    let silent = bar.is_hidden();
    let mut told = Instant::now();

    let stop = CancellationToken::new();
    // Ctrl-C drops this work: the jobs stop with it.
    let _stopping = stop.clone().drop_guard();
    let working = tokio::spawn({
        let (jobs, stop) = (platform.jobs.clone(), stop.clone());
        async move { jobs.run(1, async move { stop.cancelled().await }).await }
    });
    let mut outcome = Ok(());
    let mut rest = manifest.uploads.as_slice();
    while let Some(first) = rest.first() {
        let day = first.received_at.date();
        let (today, later) = rest.split_at(rest.partition_point(|u| u.received_at.date() <= day));
        rest = later;
        let mut queues: BTreeMap<&str, Vec<&Upload>> = BTreeMap::new();
        for upload in today {
            queues.entry(upload.institution.as_str()).or_default().push(upload);
        }
        outcome = stream::iter(queues.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |(code, uploads)| {
                let (reach, bar, by_code) = (&reach, &bar, &by_code);
                async move {
                    let id = by_code.get(code).copied().context("机构没有登记")?;
                    for upload in uploads {
                        submit(platform, reach, plan, upload, folder, id).await?;
                        bar.inc(upload.rows);
                    }
                    anyhow::Ok(())
                }
            })
            .await;
        if outcome.is_err() {
            break;
        }
        if silent && told.elapsed().as_secs() >= 10 {
            told = Instant::now();
            let seconds = began.elapsed().as_secs_f64().max(0.1);
            eprintln!(
                "归集入库 {}/{} 行，每秒 {:.0}",
                bar.position(),
                manifest.rows,
                bar.position() as f64 / seconds
            );
        }
    }
    bar.finish_and_clear();
    stop.cancel();
    let _ = working.await;
    outcome?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "归集完成：{} 行，用时 {seconds:.0} 秒，每秒 {:.0} 行。",
        manifest.rows,
        manifest.rows as f64 / seconds.max(0.1)
    );
    Ok(())
}

async fn submit(
    platform: &Platform,
    reach: &Reach,
    plan: &Plan,
    upload: &Upload,
    folder: &Path,
    institution: InstitutionId,
) -> Result<()> {
    let path = folder.join(&upload.file);
    let file = tokio::fs::File::open(&path).await.with_context(|| format!("不能打开 {}", path.display()))?;
    let offset = chrono::TimeDelta::seconds(i64::from(CHINA_OFFSET_SECONDS));
    let submission = Submission {
        institution,
        dataset: Some(upload.dataset.clone()),
        door: Door::Folder,
        file_name: upload.file.clone(),
        request_key: Some(format!("demo/{}/{}/{}", plan.seed, plan.until, upload.file)),
        atomic: false,
        received_at: Some((upload.received_at - offset).and_utc()),
    };
    let accepted = platform.exchange.intake.accept(reach, submission, file).await?;
    platform.exchange.intake.finish(accepted).await?;
    Ok(())
}

/// Rules between data sets, statistics of the database, and the mark that the city is done.
async fn finish(platform: &Platform, manifest: &Manifest) -> Result<()> {
    eprintln!("核对数据集之间的规则……");
    platform.jobs.run_until_idle().await?;
    sqlx::query("analyze").execute(platform.owner.pool()).await.db("analyze")?;
    let (received, stored, rejected, failed): (i64, i64, i64, i64) = sqlx::query_as(
        "select coalesce(sum(rows_received), 0)::bigint, coalesce(sum(rows_stored), 0)::bigint,
            coalesce(sum(rows_rejected), 0)::bigint, count(*) filter (where state = 'failed')
         from batch where request_key like 'demo/%'",
    )
    .fetch_one(platform.db.pool())
    .await
    .db("sum up the batches")?;
    eprintln!(
        "收到 {received} 行，新入库 {stored}，拒收 {rejected}（演示用的错误数据），不能读取的文件 {failed} 个。"
    );
    sqlx::query("update demo_city set state = 'done', rows_sent = $1, finished_at = $2")
        .bind(manifest.rows as i64)
        .bind(SystemClock.now())
        .execute(platform.db.pool())
        .await
        .db("mark the demonstration city as done")?;
    Ok(())
}

#[allow(clippy::print_stdout)] // the command's output
fn introduce(city: &City, common: &Common, args: &DemoArgs) {
    println!();
    println!("演示城市 {} 已就绪。全部机构和居民均为虚构。", city.name);
    println!("地址    {}", address(args.listen));
    println!("口令    {PASSWORD}（所有演示账号相同，公开，勿用于正式环境；管理员的第二因素已关闭）");
    println!();
    println!("账号        姓名    用途");
    for role in roles(city) {
        println!("{:<10}  {}    {}", role.login, role.name, role.about);
    }
    println!();
    println!("接口上传用的客户端和密钥在 {}", client_path(common).display());
    if !args.listen.ip().is_loopback() {
        eprintln!("注意：演示账号的口令是公开的，而平台正在本机以外可以访问的地址上监听。");
    }
    println!();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn args(prefix: &str) -> DemoArgs {
        DemoArgs {
            people: 200,
            years: 1,
            seed: 1,
            prefix: prefix.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            no_serve: true,
            files_only: None,
        }
    }

    #[test]
    fn only_cities_and_counties_can_be_asked_for() {
        for (prefix, good) in
            [("4115", true), ("411503", true), ("41", false), ("信阳", false), ("411503001", false)]
        {
            assert_eq!(args(prefix).plan().is_ok(), good, "{prefix}");
        }
    }

    #[test]
    fn the_accounts_keep_the_password_policy_and_have_roles_of_the_catalogue() {
        let list = [
            ("410000", "河南省"),
            ("411500", "信阳市"),
            ("411503", "平桥区"),
            ("411503001", "试甲镇"),
            ("411503001200", "演甲村委会"),
        ];
        let divisions: Vec<demo::Division> = list
            .into_iter()
            .map(|(code, name)| demo::Division {
                code: RegionCode::parse(code).unwrap(),
                name: name.to_owned(),
            })
            .collect();
        let city = demo::lay_out(&args("4115").plan().unwrap(), &divisions).unwrap();
        let catalog = catalog::shipped().unwrap();
        for role in roles(&city) {
            identity::password::check(PASSWORD, role.login, role.name).unwrap();
            let template = catalog.roles.iter().find(|r| r.code == role.role).unwrap();
            let own = template.grants.iter().any(|g| g.span == catalog::RoleSpan::Institution);
            assert!(!own || role.institution.is_some(), "{}", role.login);
        }
    }
}
