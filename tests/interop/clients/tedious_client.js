// tedious (the Node.js driver) against the server: one of the outside witnesses of its protocol. The server is named by
// MSSQL_HOST, MSSQL_PORT, MSSQL_USER, MSSQL_PASSWORD and MSSQL_DATABASE; MSSQL_ENCRYPT=1 asks for TLS.
'use strict';

// tedious 20 uses this; Node.js has it from 22.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new Promise((yes, no) => { resolve = yes; reject = no; });
  return { promise, resolve, reject };
};

const assert = require('node:assert/strict');
const { Connection, Request, TYPES, ISOLATION_LEVEL } = require('tedious');

const { MSSQL_HOST, MSSQL_PORT, MSSQL_USER, MSSQL_PASSWORD, MSSQL_DATABASE, MSSQL_ENCRYPT } = process.env;

function connect(changes = {}) {
  const connection = new Connection({
    server: MSSQL_HOST,
    authentication: {
      type: 'default',
      options: { userName: MSSQL_USER, password: changes.password ?? MSSQL_PASSWORD },
    },
    options: {
      port: Number(MSSQL_PORT),
      database: changes.database ?? MSSQL_DATABASE,
      encrypt: MSSQL_ENCRYPT === '1',
      trustServerCertificate: true,
      packetSize: changes.packetSize ?? 4096,
      connectTimeout: 10000,
      requestTimeout: changes.requestTimeout ?? 30000,
      rowCollectionOnRequestCompletion: false,
    },
  });
  return new Promise((resolve, reject) => {
    connection.connect((error) => (error ? reject(error) : resolve(connection)));
  });
}

/** Runs SQL; resolves to its rows, result sets, count and output parameters. */
function ask(connection, sql, { params = [], outputs = [], batch = false, onRequest } = {}) {
  return new Promise((resolve, reject) => {
    const answer = { rows: [], sets: [], returned: {}, metadata: null };
    const request = new Request(sql, (error, count) => {
      if (error) reject(error);
      else resolve({ ...answer, count });
    });
    request.on('columnMetadata', (columns) => {
      answer.metadata = columns;
      answer.sets.push([]);
    });
    request.on('row', (columns) => {
      const row = columns.map((column) => column.value);
      answer.rows.push(row);
      answer.sets.at(-1).push(row);
    });
    request.on('returnValue', (name, value) => { answer.returned[name] = value; });
    for (const [name, type, value, options] of params) request.addParameter(name, type, value, options);
    for (const [name, type, value, options] of outputs) request.addOutputParameter(name, type, value, options);
    if (onRequest) onRequest(request);
    if (batch) connection.execSqlBatch(request);
    else connection.execSql(request);
  });
}

async function withConnection(body, changes) {
  const connection = await connect(changes);
  try {
    return await body(connection);
  } finally {
    connection.close();
  }
}

async function fresh(connection, table, columns) {
  await ask(connection, `DROP TABLE IF EXISTS ${table}`, { batch: true });
  await ask(connection, `CREATE TABLE ${table} (${columns})`, { batch: true });
}

const checks = {
  async 'logs in to the database named, at several packet sizes'() {
    for (const packetSize of [512, 4096, 32767]) {
      await withConnection(async (connection) => {
        const { rows } = await ask(connection, "SELECT DB_NAME(), REPLICATE(CAST(N'x' AS nvarchar(max)), 30000)");
        assert.deepEqual(rows, [[MSSQL_DATABASE, 'x'.repeat(30000)]]);
      }, { packetSize });
    }
  },

  async 'wrong password and unknown database are refused'() {
    await assert.rejects(connect({ password: `${MSSQL_PASSWORD}x` }), { code: 'ELOGIN', message: /Login failed/ });
    await assert.rejects(connect({ database: 'no_such_database' }), { code: 'ELOGIN' });
  },

  async 'parameters of every common type come back, and their NULLs'() {
    const when = new Date('2024-05-06T07:08:09.120Z');
    const cases = [
      [TYPES.Bit, true], [TYPES.TinyInt, 255], [TYPES.SmallInt, -32768], [TYPES.Int, -2147483648],
      [TYPES.BigInt, '9223372036854775807'], [TYPES.Real, 1.5], [TYPES.Float, -2.25e300],
      [TYPES.Decimal, -12.34, { precision: 18, scale: 2 }], [TYPES.Numeric, 7, { precision: 38, scale: 0 }],
      [TYPES.Money, -1.25], [TYPES.SmallMoney, 214748.3647],
      [TYPES.Date, new Date('2024-02-29T00:00:00Z')], [TYPES.DateTime, when], [TYPES.DateTime2, when, { scale: 3 }],
      [TYPES.DateTimeOffset, when, { scale: 7 }], [TYPES.SmallDateTime, new Date('2024-05-06T07:08:00Z')],
      [TYPES.VarChar, 'caf\u00e9 €'], [TYPES.VarChar, 'v'.repeat(9000)], [TYPES.Char, 'ab', { length: 2 }],
      [TYPES.NVarChar, '日本😀'], [TYPES.NVarChar, '日'.repeat(9000)], [TYPES.NVarChar, ''],
      [TYPES.NChar, '日', { length: 1 }],
      [TYPES.VarBinary, Buffer.from([0, 255])], [TYPES.VarBinary, Buffer.alloc(9000, 7)],
      [TYPES.UniqueIdentifier, '01234567-89AB-CDEF-0123-456789ABCDEF'],
    ];
    await withConnection(async (connection) => {
      for (const [type, value, options] of cases) {
        const { rows } = await ask(connection, 'SELECT @p', { params: [['p', type, value, options]] });
        assert.deepEqual(rows, [[value]], type.name);
        const empty = await ask(connection, 'SELECT @p', { params: [['p', type, null, options]] });
        assert.deepEqual(empty.rows, [[null]], type.name);
      }
    });
  },

  async 'a table of every common type, with and without NULL'() {
    const columns = [
      ['bit', '1', true], ['tinyint', '255', 255], ['smallint', '-32768', -32768], ['int', '5', 5],
      ['bigint', '-9223372036854775808', '-9223372036854775808'], ['decimal(38, 10)', '1.5', 1.5], ['money', '-1.5', -1.5],
      ['real', '1.5', 1.5], ['float', '2.5', 2.5], ['date', "'9999-12-31'", new Date('9999-12-31T00:00:00Z')],
      ['datetime', "'2024-01-02T03:04:05.120'", new Date('2024-01-02T03:04:05.120Z')],
      ['datetime2(3)', "'2024-01-02T03:04:05.678'", new Date('2024-01-02T03:04:05.678Z')],
      ['datetimeoffset(3)', "'2024-01-02T03:04:05.678+02:00'", new Date('2024-01-02T01:04:05.678Z')],
      ['char(3)', "'a'", 'a  '], ['varchar(max)', "'v'", 'v'], ['nvarchar(20)', "N'日😀'", '日😀'], ['nvarchar(max)', "N'日'", '日'],
      ['binary(2)', '0x01', Buffer.from([1, 0])], ['varbinary(max)', '0xFF', Buffer.from([255])],
      ['uniqueidentifier', "'01234567-89AB-CDEF-0123-456789ABCDEF'", '01234567-89AB-CDEF-0123-456789ABCDEF'],
    ];
    await withConnection(async (connection) => {
      const declared = columns.map(([type], at) => `n${at} ${type} NOT NULL, c${at} ${type} NULL`).join(', ');
      await fresh(connection, 'dbo.witness_js', declared);
      const full = columns.map(([, literal]) => `${literal}, ${literal}`).join(', ');
      const empty = columns.map(([, literal]) => `${literal}, NULL`).join(', ');
      const inserted = await ask(connection, `INSERT INTO dbo.witness_js VALUES (${full}), (${empty})`, { batch: true });
      assert.equal(inserted.count, 2);
      const { rows } = await ask(connection, 'SELECT * FROM dbo.witness_js', { batch: true });
      const wanted = [columns.flatMap(([, , value]) => [value, value]), columns.flatMap(([, , value]) => [value, null])];
      for (const [at, row] of rows.entries()) {
        for (const [column, value] of row.entries()) {
          const found = value instanceof Date ? new Date(value.getTime()) : value;
          assert.deepEqual(found, wanted[at][column], columns[column >> 1][0]);
        }
      }
      assert.equal(rows.length, 2);
      await ask(connection, 'DROP TABLE dbo.witness_js', { batch: true });
    });
  },

  async 'output parameters come back'() {
    await withConnection(async (connection) => {
      const { returned } = await ask(connection, 'SET @n = @a * 2; SET @t = N\'日\'', {
        params: [['a', TYPES.Int, 21]],
        outputs: [['n', TYPES.Int], ['t', TYPES.NVarChar, null, { length: 10 }]],
      });
      assert.deepEqual(returned, { n: 42, t: '日' });
    });
  },

  async 'prepared statements run again and again'() {
    await withConnection((connection) => new Promise((resolve, reject) => {
      const found = [];
      const request = new Request('SELECT @a + 1, @s', (error) => { if (error) reject(error); });
      request.addParameter('a', TYPES.Int);
      request.addParameter('s', TYPES.NVarChar);
      request.on('row', (columns) => found.push(columns.map((column) => column.value)));
      request.on('prepared', () => connection.execute(request, { a: 0, s: 'x' }));
      let runs = 0;
      request.on('requestCompleted', () => {
        runs += 1;
        if (runs < 3) connection.execute(request, { a: runs, s: null });
        else if (runs === 3) connection.unprepare(request);
        else {
          assert.deepEqual(found, [[1, 'x'], [2, null], [3, null]]);
          resolve();
        }
      });
      connection.prepare(request);
    }));
  },

  async 'transactions commit and roll back'() {
    await withConnection(async (connection) => {
      await fresh(connection, 'dbo.witness_js_tran', 'id int PRIMARY KEY');
      const begin = (level) => new Promise((resolve, reject) => connection.beginTransaction((e) => (e ? reject(e) : resolve()), 'witness', level));
      const commit = () => new Promise((resolve, reject) => connection.commitTransaction((e) => (e ? reject(e) : resolve())));
      const rollback = () => new Promise((resolve, reject) => connection.rollbackTransaction((e) => (e ? reject(e) : resolve())));
      await begin(ISOLATION_LEVEL.READ_COMMITTED);
      await ask(connection, 'INSERT INTO dbo.witness_js_tran VALUES (1)');
      await commit();
      await begin(ISOLATION_LEVEL.SERIALIZABLE);
      await ask(connection, 'INSERT INTO dbo.witness_js_tran VALUES (2)');
      await rollback();
      const { rows } = await ask(connection, 'SELECT id, @@TRANCOUNT FROM dbo.witness_js_tran');
      assert.deepEqual(rows, [[1, 0]]);
      await ask(connection, 'DROP TABLE dbo.witness_js_tran', { batch: true });
    });
  },

  async 'errors carry the server\'s numbers, and the connection lives on'() {
    await withConnection(async (connection) => {
      for (const [sql, number] of [
        ['SELECT * FROM dbo.no_such_table', 208], ['SELECT 1 / 0', 8134], ["SELECT CAST('x' AS int)", 245], ['SELECT FROM', 156],
      ]) {
        for (const batch of [true, false]) {
          await assert.rejects(ask(connection, sql, { batch }), (error) => {
            assert.equal(error.number, number, sql);
            return true;
          });
          assert.deepEqual((await ask(connection, 'SELECT 1')).rows, [[1]]);
        }
      }
    });
  },

  async 'several result sets'() {
    await withConnection(async (connection) => {
      const { sets } = await ask(connection, "SELECT 1 AS a; SELECT N'x' AS b, NULL AS c; SELECT 2 AS d WHERE 1 = 0");
      assert.deepEqual(sets, [[[1]], [['x', null]], []]);
    });
  },

  async 'bulk load of 100,000 rows, read back'() {
    const count = 100000;
    await withConnection(async (connection) => {
      await fresh(connection, 'dbo.witness_js_bulk', 'id int NOT NULL PRIMARY KEY, name nvarchar(50) NULL, amount decimal(18, 2) NULL, at datetime2(3) NULL, raw varbinary(max) NULL');
      const at = new Date('2024-01-02T03:04:05.678Z');
      const row = (n) => [n, n % 7 === 0 ? null : `名 ${n}`, n % 11 === 0 ? null : n + 0.25, at, Buffer.from([n & 255])];
      const loaded = await new Promise((resolve, reject) => {
        const bulk = connection.newBulkLoad('dbo.witness_js_bulk', { tableLock: true, keepNulls: true }, (error, n) => (error ? reject(error) : resolve(n)));
        bulk.addColumn('id', TYPES.Int, { nullable: false });
        bulk.addColumn('name', TYPES.NVarChar, { length: 50, nullable: true });
        bulk.addColumn('amount', TYPES.Decimal, { precision: 18, scale: 2, nullable: true });
        bulk.addColumn('at', TYPES.DateTime2, { scale: 3, nullable: true });
        bulk.addColumn('raw', TYPES.VarBinary, { length: Infinity, nullable: true });
        connection.execBulkLoad(bulk, (function* rows() {
          for (let n = 0; n < count; n += 1) yield row(n);
        }()));
      });
      assert.equal(loaded, count);
      const { rows } = await ask(connection, 'SELECT id, name, amount, at, raw FROM dbo.witness_js_bulk ORDER BY id');
      assert.equal(rows.length, count);
      rows.forEach((found, n) => {
        if (n % 997 === 0) {
          found[3] = new Date(found[3].getTime());
          assert.deepEqual(found, row(n));
        } else {
          assert.equal(found[1], n % 7 === 0 ? null : `名 ${n}`);
        }
      });
    });
  },

  async 'a bulk load that violates the key loads nothing'() {
    await withConnection(async (connection) => {
      const failure = new Promise((resolve) => {
        const bulk = connection.newBulkLoad('dbo.witness_js_bulk', (error) => resolve(error));
        bulk.addColumn('id', TYPES.Int, { nullable: false });
        connection.execBulkLoad(bulk, [[-1], [5]]);
      });
      assert.equal((await failure)?.number, 2627);
      const { rows } = await ask(connection, 'SELECT COUNT(*) FROM dbo.witness_js_bulk WHERE id < 0');
      assert.deepEqual(rows, [[0]]);
    });
  },

  async 'cancel stops a result and a wait'() {
    await withConnection(async (connection) => {
      for (const sql of ["WAITFOR DELAY '00:01:00'", 'SELECT a.id FROM dbo.witness_js_bulk AS a CROSS JOIN dbo.witness_js_bulk AS b']) {
        const began = Date.now();
        const cancelled = ask(connection, sql, { batch: true, onRequest: () => setTimeout(() => connection.cancel(), 200) });
        await assert.rejects(cancelled, { code: 'ECANCEL' });
        assert.ok(Date.now() - began < 20000, 'the cancel took too long');
        assert.deepEqual((await ask(connection, 'SELECT 3')).rows, [[3]]);
      }
      await ask(connection, 'DROP TABLE dbo.witness_js_bulk', { batch: true });
    });
  },

  async 'a reset forgets the session'() {
    await withConnection(async (connection) => {
      await ask(connection, 'CREATE TABLE #t (id int); BEGIN TRANSACTION', { batch: true });
      await new Promise((resolve, reject) => connection.reset((e) => (e ? reject(e) : resolve())));
      assert.deepEqual((await ask(connection, "SELECT @@TRANCOUNT, OBJECT_ID(N'tempdb..#t')")).rows, [[0, null]]);
    });
  },
};

async function main() {
  let passed = 0;
  let failed = 0;
  for (const [name, body] of Object.entries(checks)) {
    const began = Date.now();
    try {
      await body();
      passed += 1;
      console.log(`tedious: ok ${name} (${((Date.now() - began) / 1000).toFixed(2)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`tedious: FAILED ${name}\n${error.stack}`);
    }
  }
  console.log(`tedious: ${passed} passed, ${failed} failed`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}

main();
