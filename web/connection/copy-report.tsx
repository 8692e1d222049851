/** The report as text, for whoever is to help. */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ConnectionReport } from '../client/index.ts';
import { toClipboard } from '../look/clipboard.ts';
import { reportText } from './report-text.ts';
import type { Warning } from './warnings.ts';

/** The build that this page is of: its files are named after what is in them. */
const PAGE = new URL(import.meta.url).pathname.split('/').at(-1) ?? '?';

export function CopyReport({ report, warnings }: { report: ConnectionReport; warnings: readonly Warning[] }): VNode {
  const [withAddresses, setWithAddresses] = useState(false);
  const [outcome, setOutcome] = useState('');
  const [isShown, setShown] = useState(false);
  const text = reportText({ report, warnings, browser: navigator.userAgent, page: PAGE, withAddresses });
  const copy = () => {
    toClipboard(text).then(
      () => setOutcome('Copied.'),
      () => {
        setShown(true);
        setOutcome('The browser does not let the page copy. Select the text below.');
      },
    );
  };
  return (
    <>
      <p class="hint">Versions, what happened when, and warnings; no prompts, names of files or passwords.</p>
      <label class="check">
        <input
          type="checkbox"
          data-testid="with-addresses"
          checked={withAddresses}
          onChange={(event) => setWithAddresses(event.currentTarget.checked)}
        />
        with addresses: they show where you are on the Internet
      </label>
      <div class="diagnostics-actions">
        <button class="button small" type="button" data-testid="copy-report" onClick={copy}>
          Copy as text for a bug report
        </button>
        <button
          class="button quiet small"
          type="button"
          aria-expanded={isShown}
          onClick={() => setShown((before) => !before)}
        >
          {isShown ? 'Hide the text' : 'Show the text'}
        </button>
        <span class="hint" role="status">
          {outcome}
        </span>
      </div>
      {isShown ? (
        <textarea class="field report-text" readOnly rows={12} spellcheck={false} aria-label="Report" value={text} />
      ) : null}
    </>
  );
}
