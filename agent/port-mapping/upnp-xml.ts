/** The XML of UPnP, from whoever is the router: bounded in length by its reader, in depth and kind here. */
import sax from 'sax';

/** The deepest honest document is a WAN service in a device in a device in the root device: 9. */
const MAX_DEPTH = 32;

/**
 * Calls `text` for each element without children, and `end` for each one with, by their names without prefixes. Sax knows
 * a fixed table of entities, of a character each; a document type, which could declare others, ends it.
 *
 * @throws Error if it is no well-formed XML, or more than a router has to say.
 */
function walk(xml: string, text: (name: string, value: string) => void, end: (name: string) => void): void {
  const parser = sax.parser(true, { trim: true, position: false });
  const open: { name: string; hasChildren: boolean; value: string }[] = [];
  parser.onerror = (error) => {
    throw error;
  };
  parser.ondoctype = () => {
    throw new Error('a document type in UPnP’s XML');
  };
  parser.onopentag = ({ name }) => {
    const parent = open.at(-1);
    if (parent !== undefined) parent.hasChildren = true;
    if (open.length === MAX_DEPTH) throw new Error('UPnP’s XML is too deep');
    open.push({ name: name.slice(name.indexOf(':') + 1), hasChildren: false, value: '' });
  };
  const add = (part: string) => {
    const element = open.at(-1);
    if (element !== undefined) element.value += part;
  };
  parser.ontext = add;
  parser.oncdata = add;
  parser.onclosetag = () => {
    const element = open.pop();
    if (element === undefined) return;
    if (element.hasChildren) end(element.name);
    else text(element.name, element.value);
  };
  parser.write(xml).close();
}

export interface Description {
  /** UPnP 1.0's base of the other URLs, if it is given. */
  baseUrl: string | undefined;
  services: { type: string; controlUrl: string }[];
}

/** UPnP Device Architecture 2.0, section 2.3. @throws Error if it is no XML. */
export function parseDescription(xml: string): Description {
  const description: Description = { baseUrl: undefined, services: [] };
  let service: Partial<Record<string, string>> = {};
  walk(
    xml,
    (name, value) => {
      if (name === 'URLBase') description.baseUrl = value;
      if (name === 'serviceType' || name === 'controlURL') service[name] = value;
    },
    (name) => {
      if (name !== 'service') return;
      const { serviceType, controlURL } = service;
      if (serviceType !== undefined && controlURL !== undefined)
        description.services.push({ type: serviceType, controlUrl: controlURL });
      service = {};
    },
  );
  return description;
}

/** The arguments of an answer, or of a fault, by name (section 3.2). @throws Error if it is no XML. */
export function parseSoap(xml: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  walk(
    xml,
    (name, value) => values.set(name, value),
    () => {},
  );
  return values;
}
