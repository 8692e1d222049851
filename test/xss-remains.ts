/** What may be left of an answer in the page that shows it. */

/** Every element that may be there, and what it may say. The frames around code and tables are ours. */
const ELEMENTS =
  /^(p|br|hr|h[3-6]|blockquote|pre|code|[uo]l|li|table|thead|tbody|t[rhd]|a|img|b|del|em|i|ins|kbd|mark|s|small|strong|su[bp]|u|div|figure|figcaption|span|button)$/;
const ATTRIBUTES: Record<string, RegExp> = {
  href: /^(https?:\/\/|mailto:)/i,
  src: /^data:image\/(avif|bmp|gif|jpeg|png|webp);base64,/,
  target: /^_blank$/,
  rel: /^noopener noreferrer$/,
  class:
    /^(language-[^\s<>"'&]+|task|code-frame|code-head|code-copy|code-part|table-frame|markdown( plain)?|markdown-(part|block))$/,
  start: /^\d+$/,
  align: /^(left|right|center)$/,
  alt: /^/,
  title: /^/,
  tabindex: /^0$/,
  role: /^group$/,
  type: /^button$/,
  'aria-label': /^(Code|Table)$/,
  'aria-live': /^polite$/,
  'data-testid': /^copy-code$/,
};

/** Playwright's or Puppeteer's. */
interface EvaluatingPage {
  evaluate(inPage: (allowed: Allowed) => string[], allowed: Allowed): Promise<string[]>;
}

/** As text: regular expressions do not travel into a page. */
interface Allowed {
  elements: string;
  attributes: Record<string, [source: string, flags: string]>;
}

/** What is on the page and may not be: the place and the element or attribute. */
export function forbidden(page: EvaluatingPage): Promise<string[]> {
  return page.evaluate(
    ({ elements, attributes }) => {
      const wrong: string[] = [];
      for (const [index, place] of [...document.querySelectorAll('main > section')].entries()) {
        for (const element of place.querySelectorAll('*')) {
          if (!new RegExp(elements).test(element.localName) || element.namespaceURI !== 'http://www.w3.org/1999/xhtml')
            wrong.push(`${index}: <${element.localName}>`);
          for (const { name, value } of element.attributes) {
            const allowed = attributes[name];
            if (allowed === undefined || !new RegExp(...allowed).test(value))
              wrong.push(`${index}: ${name}="${value}"`);
          }
          if (element.shadowRoot !== null) wrong.push(`${index}: shadow root`);
        }
      }
      return wrong;
    },
    {
      elements: ELEMENTS.source,
      attributes: Object.fromEntries(
        Object.entries(ATTRIBUTES).map(([name, { source, flags }]) => [name, [source, flags]]),
      ),
    },
  );
}
