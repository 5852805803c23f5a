#!/usr/bin/env python3
"""Checks a court pack. Needs Python 3.8 and nothing else: no packages, no network.

    python3 -I verify/verify.py [FOLDER] [--key VKEY]... [--witness VKEY]...

FOLDER is the pack; without it, the folder that this file's own folder lies in. --key is the
ledger's key and --witness a witness's key as you received them from their owners, by a way other
than the pack; without them the keys in the pack are used and the result says so.

What is checked, in this order: that the folder is a whole BagIt bag (RFC 8493); the signature of
the ledger on its checkpoint (c2sp.org/signed-note, tlog-checkpoint) and those of witnesses
(c2sp.org/tlog-cosignature); that every entry in proofs/ is in the tree of that checkpoint
(c2sp.org/tlog-proof, RFC 9162) and that its content opens the entry's commitment; and that the
documents in data/ say what those entries say. Ends with 0 when all of it holds, else with 1.
"""

import argparse
import base64
import hashlib
import json
import os
import sys
from datetime import datetime, timezone

BLOCK = 1 << 20
SMALL = 64 << 20


class Bad(Exception):
    """Something does not hold."""


# --- Ed25519 (RFC 8032), verification only ----------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_M1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def decode_point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def ed25519_ok(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = decode_point(public), decode_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    h = int.from_bytes(digest, "little") % L
    left, right = multiply(s, BASE), add(r, multiply(h, a))
    return (
        (left[0] * right[2] - right[0] * left[2]) % P == 0
        and (left[1] * right[2] - right[1] * left[2]) % P == 0
    )


# --- keys, notes, checkpoints -----------------------------------------------------------------


def unbase64(text):
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not canonical base64")
    return raw


def parse_vkey(vkey):
    """(name, key id, type, public key); type 1 signs notes, type 4 cosigns them."""
    try:
        name, rest = vkey.strip().split("+", 1)
        key_id, text = rest.split("+", 1)
        typed = unbase64(text)
    except ValueError:
        raise Bad(f"{vkey.strip()!r} is no key of the form NAME+HASH+BASE64")
    if len(typed) != 33 or typed[0] not in (1, 4):
        raise Bad(f"the key of {name} is of a kind that this verifier does not know")
    expected = hashlib.sha256(name.encode() + b"\n" + typed).hexdigest()[:8]
    if expected != key_id:
        raise Bad(f"the key of {name} does not fit its own hash")
    return name, bytes.fromhex(key_id), typed[0], typed[1:]


def parse_note(data):
    """The text, and (name, key id, signature) of each signature line."""
    try:
        text, lines = data.decode("utf-8").rsplit("\n\n", 1)
    except (UnicodeDecodeError, ValueError):
        raise Bad("it is no signed note")
    signatures = []
    for line in lines.splitlines():
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014":
            raise Bad("it has a signature line of another form")
        try:
            raw = unbase64(parts[2])
        except ValueError:
            raise Bad("it has a signature that is no base64")
        signatures.append((parts[1], raw[:4], raw[4:]))
    return text + "\n", signatures


def signed_by(note, key):
    """None when this key did not sign, else the time (0 for a plain signature)."""
    text, signatures = note
    name, key_id, kind, public = key
    for who, their_id, signature in signatures:
        if (who, their_id) != (name, key_id):
            continue
        if kind == 1 and ed25519_ok(public, text.encode(), signature):
            return 0
        if kind == 4 and len(signature) == 72:
            time = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            if ed25519_ok(public, message, signature[8:]):
                return time
        raise Bad(f"the signature of {name} on the checkpoint is wrong")
    return None


def parse_checkpoint(text):
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), unbase64(lines[2])
    except (IndexError, ValueError):
        raise Bad("the checkpoint does not say origin, size and root")
    if len(root) != 32 or str(size) != lines[1] or size < 0:
        raise Bad("the checkpoint's size or root is of another form")
    return origin, size, root


# --- the tree (RFC 6962, RFC 9162) ------------------------------------------------------------


def leaf_hash(leaf):
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def included(index, size, leaf, proof, root):
    """RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    first, last, value = index, size - 1, leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if first & 1 or first == last:
            value = node_hash(sibling, value)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and value == root


def parse_proof(data):
    """(index, hashes, checkpoint) of a tlog-proof file."""
    try:
        head, checkpoint = data.decode("utf-8").split("\n\n", 1)
        lines = head.split("\n")
        if lines.pop(0) != "c2sp.org/tlog-proof@v1":
            raise ValueError
        if lines and lines[0].startswith("extra "):
            lines.pop(0)
        word, number = lines.pop(0).split(" ")
        if word != "index":
            raise ValueError
        return int(number), [unbase64(line) for line in lines], checkpoint.encode()
    except (ValueError, IndexError, UnicodeDecodeError):
        raise Bad("it is no proof of the form c2sp.org/tlog-proof@v1")


def commitment(salt, payload):
    return hashlib.sha256(b"posse/payload-commitment/v1\0" + salt + payload).hexdigest()


# --- the bag (RFC 8493) -----------------------------------------------------------------------


def read(root, path):
    full = os.path.join(root, *path.split("/"))
    if os.path.getsize(full) > SMALL:
        raise Bad(f"{path} is larger than any such file can be")
    with open(full, "rb") as file:
        return file.read()


def read_json(root, path):
    try:
        return json.loads(read(root, path).decode("utf-8"))
    except (ValueError, RecursionError):
        raise Bad(f"{path} is no JSON")


def hashes(root, path):
    sha256, sha512, size = hashlib.sha256(), hashlib.sha512(), 0
    with open(os.path.join(root, *path.split("/")), "rb") as file:
        while True:
            block = file.read(BLOCK)
            if not block:
                return sha256.hexdigest(), sha512.hexdigest(), size
            sha256.update(block)
            sha512.update(block)
            size += len(block)


def all_files(root):
    found = []
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root).replace(os.sep, "/")
            if os.path.islink(full):
                raise Bad(f"{path} is a link; a pack has none")
            if name in names:
                found.append(path)
    return sorted(found)


def manifest(root, name):
    listed = {}
    for number, line in enumerate(read(root, name).decode("utf-8").splitlines(), 1):
        parts = line.split(None, 1)
        if len(parts) != 2:
            raise Bad(f"{name}, line {number}: no hash and path")
        path = parts[1].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
        if path.startswith("/") or ".." in path.split("/") or path in listed:
            raise Bad(f"{name}, line {number}: a path that cannot be")
        listed[path] = parts[0].lower()
    return listed


def check_bag(root):
    """Every file's hashes and size, when the bag is whole and nothing else is in it."""
    if not os.path.isfile(os.path.join(root, "bagit.txt")):
        raise Bad(f"{root} is no pack: it has no bagit.txt")
    if not read(root, "bagit.txt").startswith(b"BagIt-Version: 1.0\n"):
        raise Bad("bagit.txt does not say BagIt 1.0")
    found = {path: hashes(root, path) for path in all_files(root)}
    tag_manifests = ("tagmanifest-sha256.txt", "tagmanifest-sha512.txt")
    payload = sorted(path for path in found if path.startswith("data/"))
    tags = sorted(p for p in found if not p.startswith("data/") and p not in tag_manifests)
    for names, expected in (("tagmanifest", tags), ("manifest", payload)):
        for place, kind in enumerate(("sha256", "sha512")):
            name = f"{names}-{kind}.txt"
            if name not in found:
                raise Bad(f"{name} is missing")
            listed = manifest(root, name)
            for path in listed:
                if path not in found:
                    raise Bad(f"{path} is missing, but {name} lists it")
                if found[path][place] != listed[path]:
                    raise Bad(f"{path} was changed: its {kind} is not the one in {name}")
            for path in expected:
                if path not in listed:
                    raise Bad(f"{path} was added: {name} does not list it")
    oxum = f"{sum(found[p][2] for p in payload)}.{len(payload)}"
    info = read(root, "bag-info.txt").decode("utf-8").splitlines()
    if f"Payload-Oxum: {oxum}" not in info:
        raise Bad("bag-info.txt gives another size and number of files (Payload-Oxum)")
    return found, info


# --- the pack ---------------------------------------------------------------------------------


class Pack:
    def __init__(self, root, options):
        self.root, self.options = root, options
        self.proven, self.unproven = [], []
        self.entries = {}

    def keys(self, given, path):
        """Keys from the command line, else from the pack; and whether they came from outside."""
        if given:
            return [parse_vkey(key) for key in given], True
        if path not in self.files:
            return [], False
        lines = read(self.root, path).decode("utf-8").splitlines()
        return [parse_vkey(line) for line in lines if line.strip()], False

    def run(self):
        self.files, self.info = check_bag(self.root)
        self.proven.append(
            f"All {len(self.files)} files are as the pack's lists have them (SHA-256, SHA-512); "
            "none is missing, none was added."
        )
        self.checkpoint()
        self.read_entries()
        self.exhibits()
        self.alerts()
        self.case()
        self.stamps()

    def checkpoint(self):
        self.note_bytes = read(self.root, "proofs/checkpoint")
        note = parse_note(self.note_bytes)
        self.origin, self.size, self.tree_root = parse_checkpoint(note[0])
        keys, outside = self.keys(self.options.key, "keys/log.vkey")
        unsigned = "the ledger's checkpoint is not signed by the ledger's key"
        try:
            if not any(key[0] == self.origin and signed_by(note, key) == 0 for key in keys):
                raise Bad(unsigned)
        except Bad as problem:
            raise Bad(str(problem) if str(problem) == unsigned else f"{unsigned}: {problem}")
        self.proven.append(
            f"The ledger {self.origin} signed its state of {self.size} entries; "
            f"its root hash is {self.tree_root.hex()}."
        )
        if not outside:
            self.unproven.append(
                "That the ledger's key is the holder's: the key came with the pack. Ask the "
                "holder for it by another way and give it with --key."
            )
        self.witnesses(note)

    def witnesses(self, note):
        keys, outside = self.keys(self.options.witness, "keys/witnesses.vkey")
        signed = [(key[0], signed_by(note, key)) for key in keys]
        missing = [name for name, time in signed if time is None]
        for name, time in signed:
            if time is not None:
                when = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
                self.proven.append(
                    f"The witness {name} saw this state of the ledger at {when} UTC, and that "
                    "it continues every state that it had seen before."
                )
        if missing and outside:
            raise Bad(f"the witness {missing[0]} did not sign this state of the ledger")
        if missing:
            self.unproven.append(f"Anything by the witness {', '.join(missing)}: no signature.")
        if len(missing) == len(signed):
            self.unproven.append(
                "That the history was not rewritten as a whole before this pack was made: no "
                "outside witness signed, so the holder of the ledger's key could have done so."
            )
        elif not outside:
            self.unproven.append(
                "That the witnesses' keys are theirs: the keys came with the pack. Ask each "
                "witness for its own and give it with --witness."
            )

    def read_entries(self):
        erased = 0
        for path in self.files:
            if not (path.startswith("proofs/") and path.endswith(".tlog-proof")):
                continue
            try:
                erased += self.read_entry(path)
            except Bad as problem:
                raise Bad(f"{path}: {problem}")
        stray = [
            path
            for path in self.files
            if path.startswith("proofs/")
            and path.endswith((".json", ".leaf"))
            and int(path.split("/")[1].split(".")[0]) not in self.entries
        ]
        if stray:
            raise Bad(f"{stray[0]} has no proof")
        self.proven.append(
            f"{len(self.entries)} entries with what this pack tells are on that ledger, each at "
            "its place, unchanged since they were written."
        )
        if erased:
            self.unproven.append(f"What {erased} entries said: it was erased, by rule.")

    def read_entry(self, path):
        index, proof, checkpoint = parse_proof(read(self.root, path))
        if path != f"proofs/{index}.tlog-proof":
            raise Bad("its name is another entry's")
        if checkpoint != self.note_bytes:
            raise Bad("it leads to another checkpoint than proofs/checkpoint")
        leaf = read(self.root, f"proofs/{index}.leaf")
        entry = read_json(self.root, f"proofs/{index}.json")
        if entry["index"] != index:
            raise Bad("the entry's file is another entry's")
        if not included(index, self.size, leaf, proof, self.tree_root):
            raise Bad("the entry is not in the ledger's tree")
        leaf = json.loads(leaf)
        if leaf["seq"] != index:
            raise Bad("the leaf has another number")
        if "payload" not in entry:
            self.entries[index] = (leaf, None)
            return 1
        payload = entry["payload"].encode("utf-8")
        if commitment(bytes.fromhex(entry["salt"]), payload) != leaf["commitment"]:
            raise Bad("the entry's content is not what the ledger committed to")
        payload = json.loads(payload)
        if payload.pop("kind", None) != leaf["kind"]:
            raise Bad("the entry is of another kind than its leaf says")
        self.entries[index] = (leaf, payload)
        return 0

    def same(self, index, kind, told, what):
        """The document says what the ledger's entry says."""
        if index not in self.entries:
            raise Bad(f"{what} names the ledger entry {index}, which is not in the pack")
        leaf, payload = self.entries[index]
        if leaf["kind"] != kind:
            raise Bad(f"{what} names the ledger entry {index}, which is of another kind")
        if payload is not None and payload != told:
            raise Bad(f"{what} is not what the ledger entry {index} says")

    def exhibits(self):
        folders = sorted({p.split("/")[2] for p in self.files if p.startswith("data/exhibits/")})
        shown, raw, gone = set(), 0, []
        for number in folders:
            base = f"data/exhibits/{number}"
            told = read_json(self.root, f"{base}/acquisition.json")
            acquired = told["acquisition"]
            act = dict(acquired, act="acquired")
            self.same(told["entry"], "exhibit", act, f"{base}/acquisition.json")
            if acquired["exhibit"] != number:
                raise Bad(f"{base}/acquisition.json is about another exhibit")
            custody = read_json(self.root, f"{base}/custody.json")["custody"]
            for line in custody:
                self.same(line["entry"], "exhibit", line["act"], f"{base}/custody.json")
                shown.add(line["entry"])
            purged = any(line["act"]["act"] == "purged" for line in custody)
            if f"{base}/raw" in self.files:
                if self.files[f"{base}/raw"] != (
                    acquired["sha256"],
                    acquired["sha512"],
                    acquired["bytes"],
                ):
                    raise Bad(f"{base}/raw is not what was taken in: its hashes differ")
                raw += 1
            elif purged:
                gone.append(number)
            else:
                raise Bad(f"{base}/raw is missing, and nothing says that it was destroyed")
        for index, (leaf, payload) in self.entries.items():
            if leaf["kind"] == "exhibit" and payload is not None and index not in shown:
                raise Bad(f"the ledger entry {index} about an exhibit is in no custody.json")
        self.proven.append(
            f"{raw} exhibits are, byte for byte, what the ledger says was taken in, "
            f"with {len(shown)} steps of custody."
        )
        if gone:
            self.unproven.append(f"The content of {', '.join(gone)}: destroyed, by rule.")

    def alerts(self):
        alerts = read_json(self.root, "data/alerts.json")
        for told in alerts:
            self.same(told["entry"], "alert", told["alert"], "data/alerts.json")
        rules = {self.files[p][0] for p in self.files if p.startswith("data/rules/")}
        without = [a["alert"]["id"] for a in alerts if a["alert"]["rule_hash"] not in rules]
        self.proven.append(f"{len(alerts)} alerts are as the ledger has them.")
        if len(without) < len(alerts):
            self.unproven.append(
                "That the packed rules raise the packed alerts from the packed lines: "
                "`posse verify --reproduce` shows that."
            )
        if without:
            self.unproven.append(f"By which rule {len(without)} alerts came: it is not packed.")

    def case(self):
        case = read_json(self.root, "data/case.json")
        parts = (
            ("steps", "case", "act"),
            ("bans", "decision", "decision"),
            ("releases", "release", "release"),
            ("handovers", "handover", "act"),
        )
        count = 0
        for part, kind, key in parts:
            for told in case[part]:
                self.same(told["entry"], kind, told[key], "data/case.json")
                count += 1
        self.proven.append(
            f"{count} statements about the case {case['case']} (parties, losses, measures, bans, "
            "referrals) are as the ledger has them."
        )
        self.unproven.append(
            "That what people stated is true: the ledger proves who stated what, and when it was "
            "written down, not that it was so."
        )
        self.unproven.append(
            "That the machines' clocks were right: see the clock in each acquisition.json."
        )
        self.unproven.append(
            "That the ledger has nothing else about this case: a pack shows what was put in it."
        )

    def stamps(self):
        stamps = [p for p in self.files if p.startswith("proofs/stamp-") and p.endswith(".tsr")]
        for path in stamps:
            stamped = path[: -len(".tsr")] + ".checkpoint"
            if stamped not in self.files:
                raise Bad(f"{stamped} is missing")
            digest = bytes.fromhex(self.files[stamped][0])
            if digest not in read(self.root, path):
                raise Bad(f"{path} is over something else than {stamped}")
            origin, size, root = parse_checkpoint(parse_note(read(self.root, stamped))[0])
            if (origin, size, root) != (self.origin, self.size, self.tree_root):
                raise Bad(f"{stamped} is another state of the ledger than proofs/checkpoint")
            self.proven.append(
                f"{path} is over this state of the ledger. This verifier does not check who "
                "signed the stamp; README.txt says how."
            )
        if not stamps:
            self.unproven.append(
                "When the ledger had this state, by an outside clock: no time stamp (RFC 3161)."
            )


def main():
    parser = argparse.ArgumentParser(description="Checks a court pack, offline.")
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("folder", nargs="?", default=here, help="the pack's folder")
    parser.add_argument("--key", action="append", help="the ledger's key, as its owner gave it")
    parser.add_argument("--witness", action="append", help="a witness's key, as it gave it")
    options = parser.parse_args()
    pack = Pack(options.folder, options)
    failure = None
    try:
        pack.run()
    except Bad as problem:
        failure = str(problem)
    except (KeyError, TypeError, ValueError, OSError, AttributeError, RecursionError) as problem:
        failure = f"the pack is not whole or not of this form ({problem!r})"
    for title, lines in (("PROVEN", pack.proven), ("NOT PROVEN", pack.unproven)):
        print(title)
        for line in lines:
            print(f"  - {line}")
    if failure is not None:
        print(f"FAILED: {failure}")
        return 1
    print("OK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
