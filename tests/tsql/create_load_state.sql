SET LOCK_TIMEOUT 10000;
IF OBJECT_ID(N'[icesync].[load_state]') IS NULL
BEGIN
    BEGIN TRY
        CREATE TABLE [icesync].[load_state] (
            [target] nvarchar(300) NOT NULL CONSTRAINT [PK_load_state] PRIMARY KEY,
            [lake_table] nvarchar(600) NOT NULL,
            [table_uuid] nvarchar(36) NOT NULL,
            [snapshot_id] bigint NOT NULL,
            [sequence_number] bigint NOT NULL,
            [run_id] nvarchar(36) NOT NULL,
            [loaded_at] datetime2(3) NOT NULL,
            [inserted] bigint NOT NULL,
            [updated] bigint NOT NULL,
            [deleted] bigint NOT NULL,
            [unchanged] bigint NOT NULL,
            [target_object_id] int NULL,
            [target_created] nvarchar(30) NULL,
            [merge_mode] nvarchar(2000) NULL,
            [pending_snapshot_id] bigint NULL,
            [pending_sequence_number] bigint NULL,
            [pending_rows] bigint NULL,
            [pending_applied] bigint NULL,
            [pending_whole] bit NULL,
            [loaded_columns] nvarchar(max) NULL
        );
    END TRY
    BEGIN CATCH
        IF OBJECT_ID(N'[icesync].[load_state]') IS NULL THROW;
    END CATCH;
END;
IF COL_LENGTH(N'[icesync].[load_state]', N'target_object_id') IS NULL
BEGIN
    BEGIN TRY
        ALTER TABLE [icesync].[load_state] ADD [target_object_id] int NULL, [target_created] nvarchar(30) NULL;
    END TRY
    BEGIN CATCH
        IF COL_LENGTH(N'[icesync].[load_state]', N'target_object_id') IS NULL THROW;
    END CATCH;
END;
IF COL_LENGTH(N'[icesync].[load_state]', N'pending_applied') IS NULL
BEGIN
    BEGIN TRY
        ALTER TABLE [icesync].[load_state] ADD [merge_mode] nvarchar(2000) NULL, [pending_snapshot_id] bigint NULL, [pending_sequence_number] bigint NULL, [pending_rows] bigint NULL, [pending_applied] bigint NULL, [loaded_columns] nvarchar(max) NULL;
    END TRY
    BEGIN CATCH
        IF COL_LENGTH(N'[icesync].[load_state]', N'pending_applied') IS NULL THROW;
    END CATCH;
END;
IF COL_LENGTH(N'[icesync].[load_state]', N'pending_whole') IS NULL
BEGIN
    BEGIN TRY
        ALTER TABLE [icesync].[load_state] ADD [pending_whole] bit NULL;
    END TRY
    BEGIN CATCH
        IF COL_LENGTH(N'[icesync].[load_state]', N'pending_whole') IS NULL THROW;
    END CATCH;
END;
IF COL_LENGTH(N'[icesync].[load_state]', N'merge_mode') BETWEEN 1 AND 3999
BEGIN
    BEGIN TRY
        ALTER TABLE [icesync].[load_state] ALTER COLUMN [merge_mode] nvarchar(2000) NULL;
    END TRY
    BEGIN CATCH
        IF COL_LENGTH(N'[icesync].[load_state]', N'merge_mode') BETWEEN 1 AND 3999 THROW;
    END CATCH;
END;
SET LOCK_TIMEOUT -1;
