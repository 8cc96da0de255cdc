"""The evidence log, read by a verifier that knows its page and nothing of its code: both agree on sound logs and on damaged ones."""

import os
import random
import shutil
import subprocess
import time
import unittest

import bus
import call
import evidence_log

DAMAGES = int(os.environ.get("CHAPAR_TEST_DAMAGES", "80"))


class Evidence(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        running = bus.started()
        cls.fill(running)
        log = running.dir / running.demo["evidence"]["path"]
        cls.key = (running.dir / "evidence.pub").read_text()
        cls.witnesses = [(running.dir / one["key"]).read_text() for one in running.demo["auditor"]["witnesses"]]
        # The checkpoint first: the log may be growing.
        cls.folder = running.folder / "evidence-copy"
        cls.folder.mkdir()
        shutil.copy2(log / "checkpoint.cosigned", cls.folder)
        shutil.copy2(log / "checkpoint", cls.folder)
        for part in ("segments", "tile"):
            shutil.copytree(log / part, cls.folder / part)

    @staticmethod
    def fill(running):
        """Enough disclosures for a full tile, and a checkpoint over them."""
        channel = running.channel(bus.COUNTER)
        method = bus.stubs("civil.v1.civil_pb2_grpc").CivilRegistryStub(channel).GetPerson
        citizen = running.person_with("civil")["national_id"]
        request = bus.stubs("civil.v1.civil_pb2").GetPersonRequest(national_id=citizen)
        metadata = call.metadata(purpose="loan.farm", on_behalf_of="com/agri-bank")
        for _ in range(300):
            method(request, metadata=metadata, timeout=call.TIMEOUT)
        channel.close()
        time.sleep(2)

    def theirs(self):
        """Whether `chapar evidence verify` says that the copy is sound."""
        command = [bus.BINARY, "evidence", "verify", str(self.folder), "--trust", self.key.strip()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertIn(done.returncode, (0, 1, 4), done.stderr)
        return done.returncode == 0, done.stdout + done.stderr

    def ours(self):
        try:
            return True, str(evidence_log.verify(self.folder, self.key))
        except evidence_log.Invalid as why:
            return False, str(why)

    def agree(self, what):
        (theirs, said), (ours, told) = self.theirs(), self.ours()
        self.assertEqual(theirs, ours, f"{what}: chapar says {said!r}, the second verifier {told!r}")
        return ours

    def test_a_sound_log_is_sound_to_both(self):
        self.assertTrue(self.agree("as it was written"))
        entries, signed = evidence_log.verify(self.folder, self.key)
        self.assertGreater(signed, 256, "there is a full tile")
        self.assertIn(f"holds {entries} entries; the first {signed} are signed", self.theirs()[1])

    def test_another_key_is_refused_by_both(self):
        key, self.key = self.key, "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        try:
            self.assertFalse(self.agree("another key"))
        finally:
            self.key = key

    def cosigned(self, quorum):
        """Whether `chapar evidence verify` and this verifier say that the copy is cosigned; they agree."""
        command = [bus.BINARY, "evidence", "verify", str(self.folder), "--trust", self.key.strip(), "--quorum", str(quorum)]
        command += [part for key in self.witnesses for part in ("--witness", key.strip())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertIn(done.returncode, (0, 4), done.stderr)
        try:
            note = (self.folder / "checkpoint.cosigned").read_bytes()
            size, root = evidence_log.checkpoint(note, self.key)
            times = evidence_log.cosigned(note, self.witnesses, quorum)
            ours = evidence_log.root_at(self.folder, size) == root
        except evidence_log.Invalid as why:
            ours, times = False, str(why)
        self.assertEqual(done.returncode == 0, ours, f"chapar says {done.stdout!r}, the second verifier {times!r}")
        return times if ours else None

    def test_cosignatures_are_judged_alike(self):
        times = self.cosigned(2)
        self.assertEqual(len(times), 2)
        self.assertLess(max(abs(seen - time.time()) for seen in times.values()), 600)
        path = self.folder / "checkpoint.cosigned"
        before = path.read_bytes()
        try:
            for at in range(0, len(before) * 8, 7):
                path.write_bytes(before[: at // 8] + bytes([before[at // 8] ^ 1 << at % 8]) + before[at // 8 + 1 :])
                self.assertIsNone(self.cosigned(2), f"bit {at}")
            # Without the line of one witness.
            path.write_bytes(before.rstrip(b"\n").rsplit(b"\n", 1)[0] + b"\n")
            self.assertIsNone(self.cosigned(2))
            self.assertEqual(len(self.cosigned(1)), 1)
        finally:
            path.write_bytes(before)

    def test_damage_anywhere_is_judged_alike(self):
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        found = 0
        for number in range(DAMAGES):
            path = chance.choice(files)
            before = path.read_bytes()
            if not before:
                continue
            damaged, how = self.damage(chance, before)
            path.write_bytes(damaged)
            try:
                found += not self.agree(f"seed {seed}, damage {number}: {path.relative_to(self.folder)} {how}")
            finally:
                path.write_bytes(before)
        self.assertGreater(found, DAMAGES // 2, "most damage matters")

    @staticmethod
    def damage(chance, data):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :], f"bit flipped at {at}"
            case 1:
                return data[:at], f"cut at {at}"
            case 2:
                return data[:at] + bytes(len(data[at : at + 64])) + data[at + 64 :], f"zeroed from {at}"
            case _:
                length = min(600, at)
                return data[:at] + data[at - length : at] + data[at:], f"repeated from {at - length} to {at}"

    def test_a_missing_file_is_judged_alike(self):
        missed = 0
        for path in [path for path in sorted(self.folder.rglob("*")) if path.is_file()]:
            away = path.with_name("away")
            if path.name == "checkpoint" or path.parent.name == "segments":
                continue
            path.rename(away)
            try:
                # A partial file of an earlier checkpoint may still lie there, and nobody needs it.
                missed += not self.agree(f"without {path.relative_to(self.folder)}")
            finally:
                away.rename(path)
        self.assertGreaterEqual(missed, 4, "a full tile and bundle, and the partial ones of the size")
