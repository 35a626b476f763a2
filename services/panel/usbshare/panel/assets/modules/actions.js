// What clicks do: one request each, the second factor's code where a host wants it, and failures in words.

import { texts } from "../texts/en.js";
import { askCode } from "./dialogs.js";
import { durationMs } from "./format.js";
import { notice } from "./notices.js";
import { Failure } from "./socket.js";
import { hostName, machineKey } from "./state.js";

const MOVES = new Set(["sendLine", "jog", "jogStep", "home", "goToZero", "frame", "pulse"]);
const STOP_TIMEOUT_MS = 10_000;
const STOP_PATIENCE_MS = 3000;

export class Actions {
  #cancelledAt = -Infinity;

  constructor(socket, store) {
    this.socket = socket;
    this.store = store;
  }

  /**
   * Sends a request; asks for a code if the host wants one, and sends it again unless it moves the machine:
   * that takes another press, since a code may be typed long after. Resolves to the answer; rejects with a
   * Failure, also if the person gives no code.
   */
  async request(action, options = {}) {
    try {
      return await this.socket.request(action, options);
    } catch (failure) {
      const host = hostOf(action);
      if (!failure.needsSecondFactor || !host) throw failure;
      if (!(await this.confirm(host))) throw failure;
      if (moves(action)) throw new Failure({ text: texts.code.again });
      return this.socket.request(action, options);
    }
  }

  /** As `request`, but shows a failure as a notice; resolves to null then. What this page cancelled has not failed. */
  async run(action, options = {}) {
    const beganAt = performance.now();
    try {
      return await this.request(action, options);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      notice(failure.message, this.#cancelledAt > beganAt ? "" : "danger");
      return null;
    }
  }

  /** Ends what moves by this panel. */
  cancelMotion(machine) {
    this.#cancelledAt = performance.now();
    return this.run({ cancelMotion: { machine } });
  }

  /** Asks for the second factor's code; resolves to whether it was confirmed. */
  confirm(host) {
    const send = (code) => this.socket.request({ confirm: { host, code } });
    return askCode(hostName(this.store.state, host), send);
  }

  /**
   * Stops or holds a machine. While there is no connection it tries for three seconds and then says that
   * nothing was sent: a stop is never kept for later.
   */
  async stop(key, action) {
    if (!this.socket.isOpen && !(await this.socket.whenOpen(STOP_PATIENCE_MS))) {
      throw new Failure({ text: texts.stop.notSent });
    }
    const stop = { machine: machineKey(key), action, reason: texts.stop.reason };
    const answer = await this.socket.request({ stop }, { timeoutMs: STOP_TIMEOUT_MS });
    const response = answer.stop?.response ?? {};
    return {
      writeDelayMs: durationMs(response.writeDelay),
      latched: Boolean(response.latched),
      sentNothing: !response.sent,
    };
  }

  /** Gives back control that this panel has, for a job or a program that is about to take it. */
  async giveWay(key) {
    if (this.store.state.machines.get(key)?.controlState !== "CONTROL_STATE_OURS") return;
    await this.request({ releaseControl: { machine: machineKey(key) } });
  }

  /** The one thing that lets a held or latched machine go on, as the person sees it now. */
  goOn(key) {
    const machine = this.store.state.machines.get(key);
    if (!machine) return Promise.resolve(null);
    const port = machine.port ?? {};
    const which = machineKey(key);
    switch (machine.nextStep) {
      case "NEXT_STEP_RESUME":
        return this.run({
          stop: { machine: which, action: "STOP_ACTION_RESUME", epoch: port.epoch ?? "0", holdNumber: port.holdNumber ?? "0" },
        });
      case "NEXT_STEP_REARM":
        return this.run({ rearm: { machine: which, epoch: port.latch?.epoch ?? port.epoch ?? "0" } });
      case "NEXT_STEP_HOME":
        return this.run({ home: { machine: which } }, { timeoutMs: 120_000 });
      case "NEXT_STEP_UNLOCK":
        return this.run({ unlock: { machine: which } });
      case "NEXT_STEP_RESET":
        return this.run({ reset: { machine: which } });
      default:
        return Promise.resolve(null);
    }
  }
}

/** Whether a machine may move by it, or fire. */
function moves(action) {
  const [name, fields] = Object.entries(action)[0];
  if (name === "stop") return fields.action === "STOP_ACTION_RESUME";
  if (name === "jobCall") return Boolean(fields.start || fields.resume);
  return MOVES.has(name);
}

function hostOf(action) {
  const fields = Object.values(action)[0] ?? {};
  return fields.machine?.host ?? fields.host ?? "";
}
