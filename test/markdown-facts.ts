/** What tests ask of Markdown: its links, the anchors that GitHub gives its headings, the commands in it. */

/** Text without blocks of code, in which nothing is a link or a heading. */
function prose(markdown: string): string {
  return markdown.replace(/^(```|~~~).*?^\1/gms, '').replace(/<!--.*?-->/gs, '');
}

/** Targets of links and images, of HTML's as well. */
export function linksOf(markdown: string): string[] {
  const text = prose(markdown).replace(/`[^`\n]*`/g, '`');
  const links = [...text.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g), ...text.matchAll(/(?:src|href)="([^"]+)"/g)];
  return links.map(([, target = '']) => target);
}

/**
 * As GitHub makes them: lower case; without what is no letter, digit, space, hyphen or underscore; spaces become
 * hyphens; a heading that comes again gets a number.
 */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of prose(markdown).matchAll(/^#{1,6} +(.+?)(?: +#+)? *$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '');
    const slug = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-');
    let anchor = slug;
    for (let number = 1; anchors.has(anchor); number++) anchor = `${slug}-${number}`;
    anchors.add(anchor);
  }
  return anchors;
}

export function codeBlocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```/gms)].flatMap(([, name, text = '']) =>
    name === language ? [text] : [],
  );
}

/** The words after `direct-agent` of a command line; `whole`: somebody is to run it as it stands. */
export interface CommandLine {
  readonly words: readonly string[];
  readonly whole: boolean;
}

/**
 * In blocks of shell, and in the text where code begins with it. The environment before it, what it is piped to, and
 * comments are left out; a placeholder is one word.
 */
export function commandLines(markdown: string): CommandLine[] {
  const inBlocks = codeBlocks(markdown, 'sh').flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'));
  const inText = [...prose(markdown).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
  return [...linesOf(inBlocks, true), ...linesOf(inText, false)];
}

function linesOf(lines: readonly string[], whole: boolean): CommandLine[] {
  const runs = /^(?:[A-Z_]+=\S+ +)*(?:npx +|docker compose exec agent +)?direct-agent(?:@\S+)?(?: +(.*))?$/;
  return lines.flatMap((line) => {
    const found = runs.exec(line.trim().replace(/<[^<>]*>/g, 'PLACEHOLDER'));
    if (found === null) return [];
    const command = (found[1] ?? '').replace(/(^| +)#.*$/, '').replace(/ *(\||&&|;|>|2>).*$/, '');
    const words = [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)];
    return [{ words: words.map(([, double, single, word = '']) => double ?? single ?? word), whole }];
  });
}
