/**
 * What an agent tells its edge about itself, for the owner's dashboard, and what the dashboard asks of it (PROTOCOL.md,
 * section 2). The edge decides nothing by it.
 */
import {
  MAX_DEVICE_NAME_LENGTH,
  MAX_DEVICES,
  MAX_INFO_MODELS,
  MAX_INFO_SERVERS,
  MAX_INFO_TEXT_LENGTH,
  MAX_SIGNAL_BYTES,
} from './limits.ts';
import { ofType, refuse, shortText } from './message-fields.ts';
import { isId } from './signal.ts';

/** Times are milliseconds since 1970. */
export interface DeviceInfo {
  readonly id: string;
  readonly name: string;
  readonly paired_at: number;
  readonly last_used_at: number | null;
}

export interface HostInfo {
  /** The upstreams, with the models that they had when they were found. */
  serves: readonly { readonly name: string; readonly models: readonly string[] }[];
  /** The host has a web UI of its own; absent when not. */
  web_ui?: true;
  /** `paired`: the agent accepts only devices that it knows. */
  access: 'edge' | 'paired';
  devices: readonly DeviceInfo[];
}

/** From the agent, alone in its message: when its link comes up, and when something changes. */
export interface HostInfoSignal extends HostInfo {
  type: 'host_info';
}

/** To the agent, alone in its message: the owner removes a device. */
export interface ForgetDeviceSignal {
  type: 'forget_device';
  id: string;
}

/** The message for `info`, which loses the ends of its lists where it would be too long. */
export function hostInfoMessage(info: HostInfo): string {
  const cut = (text: string) => text.slice(0, MAX_INFO_TEXT_LENGTH).toWellFormed();
  const serves = info.serves.slice(0, MAX_INFO_SERVERS).map(({ name, models }) => ({
    name: cut(name),
    models: models.slice(0, MAX_INFO_MODELS).map(cut),
  }));
  // Field by field: a device has more to it that is nobody's business.
  const devices = info.devices.slice(0, MAX_DEVICES).map(({ id, name, paired_at, last_used_at }) => {
    return { id, name, paired_at, last_used_at };
  });
  const webUi = info.web_ui === true ? { web_ui: info.web_ui } : {};
  const signal: HostInfoSignal = { type: 'host_info', serves, ...webUi, access: info.access, devices };
  for (;;) {
    const text = JSON.stringify(signal);
    if (new TextEncoder().encode(text).length <= MAX_SIGNAL_BYTES) return text;
    // Devices are what the owner must see; of models there are more than anyone reads.
    const longest = serves.toSorted((a, b) => b.models.length - a.models.length)[0];
    if (longest === undefined || longest.models.length === 0) devices.pop();
    else longest.models.length = longest.models.length >> 1;
  }
}

/**
 * The information in parsed JSON, or undefined when it is a message of another kind.
 * @throws DirectError `E_BAD_REQUEST` that names the field.
 */
export function parseHostInfo(raw: unknown): HostInfo | undefined {
  const message = ofType(raw, 'host_info');
  if (message === undefined) return undefined;
  const { serves, web_ui: webUi, access, devices } = message;
  if (webUi !== undefined && webUi !== true) return refuse('web_ui must be true, or absent');
  if (access !== 'edge' && access !== 'paired') return refuse('access must be edge or paired');
  return {
    serves: list(serves, 'serves', MAX_INFO_SERVERS).map((server) => {
      const { name, models } = record(server, 'serves');
      return {
        name: shortText(name, 'serves.name', MAX_INFO_TEXT_LENGTH),
        models: list(models, 'serves.models', MAX_INFO_MODELS).map((model) =>
          shortText(model, 'serves.models', MAX_INFO_TEXT_LENGTH),
        ),
      };
    }),
    ...(webUi === undefined ? {} : { web_ui: webUi }),
    access,
    devices: list(devices, 'devices', MAX_DEVICES).map((device) => {
      const { id, name, paired_at, last_used_at } = record(device, 'devices');
      if (!isId(id)) return refuse('devices.id must be an id');
      return {
        id,
        // Characters outside the basic plane count twice here.
        name: shortText(name, 'devices.name', 2 * MAX_DEVICE_NAME_LENGTH),
        paired_at: time(paired_at, 'devices.paired_at'),
        last_used_at: last_used_at === null ? null : time(last_used_at, 'devices.last_used_at'),
      };
    }),
  };
}

/** The device's id in parsed JSON, or undefined when it is a message of another kind. @throws DirectError */
export function parseForgetDevice(raw: unknown): string | undefined {
  const message = ofType(raw, 'forget_device');
  if (message === undefined) return undefined;
  return isId(message.id) ? message.id : refuse('id must be an id');
}

function record(raw: unknown, name: string): Record<string, unknown> {
  if (typeof raw !== 'object' || raw === null) return refuse(`${name} must have objects`);
  return raw as Record<string, unknown>;
}

function list(raw: unknown, name: string, maxLength: number): unknown[] {
  if (!Array.isArray(raw) || raw.length > maxLength) return refuse(`${name} must be a list of at most ${maxLength}`);
  return raw;
}

function time(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    return refuse(`${name} must be milliseconds since 1970`);
  }
  return value;
}
